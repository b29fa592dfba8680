# What can be chosen, and the flags that the order contract (docs/numerics.md) asks of every file.
option(LIKELY_TESTS "Build the tests" ON)
option(LIKELY_SHARED "Build the shared library beside the static one" ON)
option(LIKELY_WERROR "Warnings are errors" ON)
option(LIKELY_DOUBLE "Networks learn in float64 instead of float32" OFF)
option(LIKELY_BENCH "bench/'s program; bench/run uses it" OFF)
option(LIKELY_FUZZER "tests/fuzz/ as programs of libFuzzer; scripts/fuzz uses it" OFF)
set(LIKELY_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(LIKELY_OPTIMISE "-O3" CACHE STRING "Optimisation of a Release build: results are the same bits for any")
set(CMAKE_C_FLAGS_RELEASE "${LIKELY_OPTIMISE}")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -DLK_ASSERTIONS")

# Contraction of a*b+c would change bits, and clang does it by default. Without errno and traps, sqrt
# and fma compile to instructions where the machine has them.
add_library(likely_flags INTERFACE)
target_compile_options(likely_flags INTERFACE
  -ffp-contract=off -fno-math-errno -fno-trapping-math
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual
  -Wwrite-strings -Wvla)
# There gcc's C11 evaluates float expressions in double, which rounds twice.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "s390x")
  target_compile_options(likely_flags INTERFACE -fexcess-precision=fast)
endif()
if(LIKELY_WERROR)
  target_compile_options(likely_flags INTERFACE -Werror)
endif()
if(LIKELY_SANITIZE)
  target_compile_options(likely_flags INTERFACE -fsanitize=${LIKELY_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(likely_flags INTERFACE -fsanitize=${LIKELY_SANITIZE})
endif()
target_compile_definitions(likely_flags INTERFACE _POSIX_C_SOURCE=200809L _FILE_OFFSET_BITS=64
  $<$<BOOL:${LIKELY_DOUBLE}>:LK_DOUBLE>)
