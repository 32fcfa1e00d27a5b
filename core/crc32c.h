/* crc32c.h - CRC32C (Castagnoli, RFC 3720 appendix B.4), in hardware where there is one. */
#ifndef RUDP_CORE_CRC32C_H
#define RUDP_CORE_CRC32C_H

#include "core/base.h"

/* Check of data. crc is 0 for the first piece, or the result so far to continue. */
uint32_t rudp_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The table-driven form that rudp_crc32c falls back to; same result on every machine. */
uint32_t rudp_crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
