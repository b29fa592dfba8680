# A build for a big-endian machine, run by qemu-user: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/s390x.cmake
set(machine s390x)
set(processor s390x)
include(${CMAKE_CURRENT_LIST_DIR}/foreign.cmake)
