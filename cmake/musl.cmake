# Programs that use musl as their libc (Debian's musl-tools). The kernel's headers are those of the
# system, looked at last: musl has its own of all others. Its msg_iovlen is an int (size_t in glibc).
set(CMAKE_C_COMPILER musl-gcc)
execute_process(COMMAND gcc -print-multiarch OUTPUT_VARIABLE multiarch
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(CMAKE_C_FLAGS_INIT
    "-idirafter /usr/include -idirafter /usr/include/${multiarch} -Wno-sign-compare")
