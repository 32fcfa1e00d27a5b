#include "tests/engine/message.h"

static size_t size_of(uint64_t number)
{
    static const size_t sizes[] = {0, 1, 100, 1200, 1201, 9000};

    return number % 64 == 63 ? MESSAGE_BYTES_MAX : sizes[number % 6];
}

/* A different byte at each place of each message, so that mixed-up ranges are seen. */
static uint8_t byte_of(uint64_t number, size_t index)
{
    return (uint8_t)((number * 0x9e3779b97f4a7c15u + index * 0x2545f4914f6cdd1du) >> 40);
}

size_t message_fill(uint8_t *out, uint64_t number)
{
    size_t bytes = size_of(number);

    for (size_t i = 0; i < bytes; i++)
        out[i] = byte_of(number, i);
    return bytes;
}

bool message_is(const uint8_t *data, size_t bytes, uint64_t number)
{
    if (bytes != size_of(number))
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] != byte_of(number, i))
            return false;
    }
    return true;
}
