# SPDX-License-Identifier: MIT
#
# What every target is compiled with, and the helpers that let a folder be empty.

add_library(vpollnet_options INTERFACE)

set(warnings -Wall -Wextra -Wpedantic -Wshadow)
target_compile_options(vpollnet_options INTERFACE ${warnings}
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>)
if(VPOLLNET_WERROR)
  target_compile_options(vpollnet_options INTERFACE -Werror)
endif()

if(VPOLLNET_SANITIZE)
  # After the build type's flags, so -Og and -UNDEBUG win over Release: asserts belong in these runs.
  target_compile_options(vpollnet_options INTERFACE
    -fsanitize=${VPOLLNET_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -Og -g1 -UNDEBUG)
  target_link_options(vpollnet_options INTERFACE -fsanitize=${VPOLLNET_SANITIZE})
endif()

# What a user of libvpoll sees: <vpoll.h> or "vpoll/vpoll.h".
function(vpollnet_vpoll_interface target)
  target_include_directories(${target} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/vpoll>)
endfunction()

# A static C++ library; an interface library while its folder has no source yet.
function(vpollnet_library name)
  if(ARGN)
    add_library(${name} STATIC ${ARGN})
    target_link_libraries(${name} PRIVATE vpollnet_options)
    set(kind PUBLIC)
  else()
    add_library(${name} INTERFACE)
    set(kind INTERFACE)
  endif()
  target_include_directories(${name} ${kind} ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/stack)
endfunction()

function(vpollnet_link name)
  get_target_property(type ${name} TYPE)
  if(type STREQUAL "INTERFACE_LIBRARY")
    target_link_libraries(${name} INTERFACE ${ARGN})
  else()
    target_link_libraries(${name} PUBLIC ${ARGN})
  endif()
endfunction()

# Link-time optimisation of a program or module and of the stack's libraries that it is made of.
function(vpollnet_optimise_across_files name)
  if(VPOLLNET_SANITIZE)
    return()
  endif()
  include(CheckIPOSupported)
  check_ipo_supported(RESULT ipo LANGUAGES C CXX)
  if(NOT ipo)
    return()
  endif()
  foreach(target vpoll_objects vpollnet_core vpollnet_host ${name})
    if(TARGET ${target})
      get_target_property(type ${target} TYPE)
      if(NOT type STREQUAL "INTERFACE_LIBRARY")
        set_target_properties(${target} PROPERTIES INTERPROCEDURAL_OPTIMIZATION ON)
      endif()
    endif()
  endforeach()
endfunction()
