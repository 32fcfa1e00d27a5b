# One place for language and warnings: gcc and clang, warnings are errors.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

# A debug build runs thousands of simulations in ./dev test: -O0 would triple its time.
set(CMAKE_C_FLAGS_DEBUG "-g -Og")

add_compile_options(-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla)
include_directories(${PROJECT_SOURCE_DIR})

if(RUDP_SANITIZE)
    add_compile_options(-fsanitize=${RUDP_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${RUDP_SANITIZE})
endif()
if(RUDP_COVERAGE)
    add_compile_options(--coverage -O0)
    add_link_options(--coverage)
endif()
