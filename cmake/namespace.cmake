# SPDX-License-Identifier: MIT
#
# vpollnet-enter, beside the addon: a program, because only a process with one thread may change its user
# namespace.

file(GLOB namespace_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/namespace/*.c)
add_executable(vpollnet_enter ${namespace_sources})
set_target_properties(vpollnet_enter PROPERTIES OUTPUT_NAME vpollnet-enter
  RUNTIME_OUTPUT_DIRECTORY "$<TARGET_FILE_DIR:vpollnet>")
target_link_libraries(vpollnet_enter PRIVATE vpollnet_options)
