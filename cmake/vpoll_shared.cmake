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
if(EXISTS ${vpoll_map})
  target_link_options(vpoll PRIVATE "LINKER:--version-script=${vpoll_map}")
  set_target_properties(vpoll PROPERTIES LINK_DEPENDS ${vpoll_map})
endif()

configure_file(${PROJECT_SOURCE_DIR}/cmake/vpoll.pc.in ${PROJECT_BINARY_DIR}/vpoll.pc @ONLY)

install(TARGETS vpoll vpoll_static
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/vpoll/vpoll.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_BINARY_DIR}/vpoll.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(GLOB vpoll_manuals CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/vpoll/man/*.3)
install(FILES ${vpoll_manuals} DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
