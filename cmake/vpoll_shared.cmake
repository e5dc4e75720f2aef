# SPDX-License-Identifier: MIT
#
# libvpoll.so and what a distribution installs beside it.

include(GNUInstallDirs)

add_library(vpoll SHARED $<TARGET_OBJECTS:vpoll_objects>)
target_link_libraries(vpoll PRIVATE vpollnet_options)
vpollnet_vpoll_interface(vpoll)
set_target_properties(vpoll PROPERTIES SOVERSION 0 VERSION ${PROJECT_VERSION})

# The map keeps vpoll__ names inside the library.
set(vpoll_map ${PROJECT_SOURCE_DIR}/vpoll/vpoll.map)
target_link_options(vpoll PRIVATE "LINKER:--version-script=${vpoll_map}")
set_target_properties(vpoll PROPERTIES LINK_DEPENDS ${vpoll_map})
target_link_libraries(vpoll PRIVATE Threads::Threads)

configure_file(${PROJECT_SOURCE_DIR}/cmake/vpoll.pc.in ${PROJECT_BINARY_DIR}/vpoll.pc @ONLY)

install(TARGETS vpoll vpoll_static
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/vpoll/vpoll.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# For programs that use /dev/vpoll by themselves, as vpoll(4) says: <linux/vpoll.h>.
install(FILES ${PROJECT_SOURCE_DIR}/kernel/uapi/vpoll.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/linux)
install(FILES ${PROJECT_BINARY_DIR}/vpoll.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/vpoll/man/vpoll.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
install(FILES ${PROJECT_SOURCE_DIR}/vpoll/man/vpoll.4 DESTINATION ${CMAKE_INSTALL_MANDIR}/man4)
# man vpoll_create shows vpoll(3).
foreach(name create ctl close ctl_many exact backend error)
  file(WRITE ${PROJECT_BINARY_DIR}/man/vpoll_${name}.3 ".so man3/vpoll.3\n")
  install(FILES ${PROJECT_BINARY_DIR}/man/vpoll_${name}.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/vpoll/examples/stdin.c ${PROJECT_SOURCE_DIR}/vpoll/README.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR}/vpoll)
