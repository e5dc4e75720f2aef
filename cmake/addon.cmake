# SPDX-License-Identifier: MIT
#
# build/Release/vpollnet.node. cmake-js passes CMAKE_JS_INC: node-api-headers and node-addon-api,
# both from node_modules, so that no Node headers are fetched.

file(GLOB_RECURSE binding_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ts/binding/*.cpp)
if(NOT binding_sources)
  message(STATUS "ts/binding has no source: no addon")
  return()
endif()

add_library(vpollnet MODULE ${binding_sources})
set_target_properties(vpollnet PROPERTIES PREFIX "" SUFFIX ".node" CXX_VISIBILITY_PRESET hidden
  VISIBILITY_INLINES_HIDDEN ON)
target_compile_definitions(vpollnet PRIVATE
  NAPI_VERSION=8 NAPI_CPP_EXCEPTIONS NODE_ADDON_API_DISABLE_DEPRECATED
  # In a thread that is being terminated nothing can be thrown: without this the process is aborted.
  NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
# System headers: their warnings are not ours.
target_include_directories(vpollnet SYSTEM PRIVATE ${CMAKE_JS_INC})
target_link_libraries(vpollnet PRIVATE vpollnet_options vpollnet_host ${CMAKE_JS_LIB})

# A worker that ends may be the last thread that has the addon loaded, while one of ours still waits in the
# opening of a device, or in a call of libvdeplug: the code stays where it is.
target_link_options(vpollnet PRIVATE "LINKER:-z,nodelete")

vpollnet_optimise_across_files(vpollnet)
