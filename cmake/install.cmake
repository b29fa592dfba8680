# What `cmake --install` lays down: program, header, both libraries, what pkg-config and CMake need to
# find them, the manual page and the shells' completions.
include(CMakePackageConfigHelpers)

install(TARGETS likely_program RUNTIME)
install(FILES include/likely.h TYPE INCLUDE)
install(TARGETS likely EXPORT likely-static ARCHIVE)
set(likely_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/likely)
install(EXPORT likely-static NAMESPACE likely:: DESTINATION ${likely_cmake_dir})
if(LIKELY_SHARED)
  install(TARGETS likely_shared EXPORT likely-shared LIBRARY)
  install(EXPORT likely-shared NAMESPACE likely:: DESTINATION ${likely_cmake_dir})
endif()

configure_package_config_file(cmake/likely-config.cmake.in likely-config.cmake
  INSTALL_DESTINATION ${likely_cmake_dir})
write_basic_package_version_file(likely-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/likely-config.cmake ${PROJECT_BINARY_DIR}/likely-config-version.cmake
  DESTINATION ${likely_cmake_dir})

# Relative to where likely.pc lies, so that an installed tree may be moved; absolute where it was asked for.
set(likely_pc_prefix ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  file(RELATIVE_PATH up /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
  string(REGEX REPLACE "/$" "" up "${up}")
  set(likely_pc_prefix "\${pcfiledir}/${up}")
endif()
foreach(kind includedir libdir)
  string(TOUPPER ${kind} upper)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${upper}}")
    set(likely_pc_${kind} "${CMAKE_INSTALL_${upper}}")
  else()
    set(likely_pc_${kind} "\${prefix}/${CMAKE_INSTALL_${upper}}")
  endif()
endforeach()
configure_file(cmake/likely.pc.in likely.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/likely.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES docs/likely.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES LICENSE CHANGELOG.md TYPE DOC)
install(FILES completions/likely.bash RENAME likely
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES completions/_likely DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
