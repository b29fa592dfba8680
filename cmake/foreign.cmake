# What cmake/arm64.cmake and cmake/s390x.cmake share. Given `machine` (Debian's name), `processor` (GNU's): the
# cross compiler, the libraries that scripts/foreign_libraries unpacks, and qemu-user to run what is built.
get_filename_component(likely_root ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
set(sysroot ${likely_root}/build/sysroot-${machine})
set(triplet ${processor}-linux-gnu)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${processor})
set(CMAKE_C_COMPILER ${triplet}-gcc)
set(CMAKE_FIND_ROOT_PATH ${sysroot}/usr /usr/${triplet})
set(CMAKE_LIBRARY_ARCHITECTURE ${triplet})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${sysroot}/usr/lib/${triplet}/pkgconfig:${sysroot}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${sysroot})
set(libraries ${sysroot}/usr/lib/${triplet})
set(CMAKE_C_FLAGS_INIT "-isystem ${sysroot}/usr/include -isystem ${sysroot}/usr/include/${triplet}")
set(CMAKE_EXE_LINKER_FLAGS_INIT
  "-L${libraries} -Wl,-rpath-link,${libraries} -Wl,-rpath,${libraries} -Wl,--disable-new-dtags") # for what libraries need, too
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${processor} -L /usr/${triplet})
