# SPDX-License-Identifier: MIT
#
# The native ends of the measurements in bench/: one program for each C file.

file(GLOB bench_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/*.c)
foreach(source IN LISTS bench_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(bench_${name} ${source})
  target_compile_definitions(bench_${name} PRIVATE _GNU_SOURCE)
  target_link_libraries(bench_${name} PRIVATE vpollnet_options vpoll_static Threads::Threads)
endforeach()
