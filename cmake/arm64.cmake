# A build for 64-bit Arm, run by qemu-user: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/arm64.cmake
set(machine arm64)
set(processor aarch64)
include(${CMAKE_CURRENT_LIST_DIR}/foreign.cmake)
