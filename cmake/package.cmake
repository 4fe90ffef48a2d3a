# SPDX-License-Identifier: Apache-2.0
# What a package has beside the programs: manual pages, bash completion, a systemd unit. `cpack -G
# DEB` in the build folder makes the .deb.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*.md)
  set(manuals)
  foreach(page IN LISTS pages)
    file(STRINGS ${page} title LIMIT_COUNT 1)
    if(NOT title MATCHES "^# txpath ([a-z]+)")
      continue()
    endif()
    set(manual ${CMAKE_BINARY_DIR}/man/txpath-${CMAKE_MATCH_1}.1)
    add_custom_command(OUTPUT ${manual}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/man
      COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/packaging/man.py ${page} ${PROJECT_VERSION} > ${manual}
      DEPENDS ${page} ${CMAKE_SOURCE_DIR}/packaging/man.py VERBATIM)
    list(APPEND manuals ${manual})
  endforeach()
  add_custom_target(manuals ALL DEPENDS ${manuals})
  install(FILES ${manuals} ${CMAKE_SOURCE_DIR}/packaging/txpath.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
install(FILES packaging/completion.bash RENAME txpath
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES packaging/txpath.lua packaging/alerts.yml packaging/grafana.json
        DESTINATION ${CMAKE_INSTALL_DATADIR}/txpath)
install(FILES packaging/txpath-serve.service DESTINATION lib/systemd/system)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME txpath)
set(CPACK_PACKAGE_CONTACT "the txpath maintainers <maintainers@txpath.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "explain, send, watch: the kernel's UDP/IPv4 send path
 Says of every packet where this host sends it and why, stage by stage; sends real datagrams
 through the same path in user space; shows counters, traces and latencies as text, JSON,
 Prometheus metrics and a live page.")
include(CPack)
