# SPDX-License-Identifier: Apache-2.0
# With TXPATH_UNITY the compiler sees a folder of src/ as one file: a third of the time to build,
# and calls between stages are inlined. Names in anonymous namespaces must then differ within a
# folder.
function(txpath_unity target)
  if(NOT TXPATH_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME group)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
  endforeach()
  # The "main file" that this warning has in mind is the generated one.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/mirror/sysctl_tree.cc
    ${CMAKE_SOURCE_DIR}/src/observe/stat.cc PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
