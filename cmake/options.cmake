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
  # After the build type's flags, so -O1 and -UNDEBUG win over Release: asserts belong in these runs.
  target_compile_options(vpollnet_options INTERFACE
    -fsanitize=${VPOLLNET_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g -UNDEBUG)
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
