# SPDX-License-Identifier: MIT
#
# The native ends of the measurements in bench/: one program for each C or C++ file. A C file is a
# user of libvpoll; a C++ file one of the stack, which is optimised as the addon is.

file(GLOB bench_c_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/*.c)
file(GLOB bench_cpp_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/*.cpp)
foreach(source IN LISTS bench_c_sources bench_cpp_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(bench_${name} ${source})
  target_link_libraries(bench_${name} PRIVATE vpollnet_options Threads::Threads)
  if(source IN_LIST bench_c_sources)
    target_compile_definitions(bench_${name} PRIVATE _GNU_SOURCE)
    target_link_libraries(bench_${name} PRIVATE vpoll_static)
  else()
    target_link_libraries(bench_${name} PRIVATE vpollnet_host)
    vpollnet_optimise_across_files(bench_${name})
  endif()
endforeach()
