# SPDX-License-Identifier: Apache-2.0
# cmake --install: bin/txpath, libtxpath.a, include/txpath/, a CMake package, a pkg-config file.
include(CMakePackageConfigHelpers)

install(TARGETS txpath EXPORT txpath ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/txpath DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/txpath)
install(EXPORT txpath NAMESPACE txpath:: FILE txpathTargets.cmake DESTINATION ${package})
configure_package_config_file(cmake/txpathConfig.cmake.in ${CMAKE_BINARY_DIR}/txpathConfig.cmake
  INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/txpathConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/txpathConfig.cmake ${CMAKE_BINARY_DIR}/txpathConfigVersion.cmake
  DESTINATION ${package})

# Relative, so that `cmake --install --prefix` and a moved tree both work.
file(RELATIVE_PATH TXPATH_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/txpath.pc.in ${CMAKE_BINARY_DIR}/txpath.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/txpath.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
