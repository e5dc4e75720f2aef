# SPDX-License-Identifier: MIT
#
# One doctest program for each folder under test/ that holds C or C++ sources. cmake/doctest_main.cpp
# has the main function. test/support is shared by those of the stack.

find_path(DOCTEST_INCLUDE_DIR doctest/doctest.h)
if(NOT DOCTEST_INCLUDE_DIR)
  message(FATAL_ERROR "VPOLLNET_TESTS needs doctest: apt install doctest-dev")
endif()

enable_testing()

file(GLOB_RECURSE support_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/test/support/*.cpp)
vpollnet_library(test_support ${support_sources})
target_include_directories(test_support PUBLIC ${PROJECT_SOURCE_DIR}/test)
vpollnet_link(test_support vpollnet_core)

add_library(doctest_main OBJECT ${PROJECT_SOURCE_DIR}/cmake/doctest_main.cpp)
target_include_directories(doctest_main SYSTEM PRIVATE ${DOCTEST_INCLUDE_DIR})
target_link_libraries(doctest_main PRIVATE vpollnet_options)

function(vpollnet_test folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/test/${folder}/*.cpp ${PROJECT_SOURCE_DIR}/test/${folder}/*.c)
  if(NOT sources)
    message(STATUS "test/${folder} has no source: no test_${folder}")
    return()
  endif()
  add_executable(test_${folder} ${sources} $<TARGET_OBJECTS:doctest_main>)
  target_include_directories(test_${folder} PRIVATE
    ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/stack ${PROJECT_SOURCE_DIR}/test)
  target_include_directories(test_${folder} SYSTEM PRIVATE ${DOCTEST_INCLUDE_DIR})
  target_link_libraries(test_${folder} PRIVATE vpollnet_options ${ARGN} Threads::Threads)
  # A test's own lines run once: how long they take to compile counts, and an optimiser takes several times longer for the
  # many branches of doctest's macros. What is tested is optimised. A source's options come behind a sanitizer's.
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "-O0;-g1")
  add_test(NAME ${folder} COMMAND test_${folder})
endfunction()

vpollnet_test(stack test_support vpollnet_core)
vpollnet_test(sim test_support vpollnet_core)
vpollnet_test(host test_support vpollnet_host)
vpollnet_test(vpoll vpoll_static)
