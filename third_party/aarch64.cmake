# Toolchain: Debian's cross compiler, and qemu where a program has to run.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
# The C library, its loader and the run times of C++ and OpenMP are those of the arm64 packages, too: those of the cross
# compiler are of another version, and a loader does not fit the C library of another one (threads wait for ever).
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# Libraries are those of Debian's arm64 packages, which lie beside this machine's own.
set(CMAKE_LIBRARY_PATH /usr/lib/aarch64-linux-gnu /usr/lib/aarch64-linux-gnu/openblas-serial)
set(CMAKE_IGNORE_PATH /usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu/openblas-serial
    /usr/lib/x86_64-linux-gnu/openblas-pthread)
