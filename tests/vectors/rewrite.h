/* rewrite.h - a packet that was read, written again from what the reader found in it.
 *
 * Shared by the vectors and the fuzz targets: the core's writer must say again what its reader
 * understood, in the bytes of docs/protocol.md where a writer has no choice. */
#ifndef RUDP_TESTS_REWRITE_H
#define RUDP_TESTS_REWRITE_H

#include "core/wire.h"

/* Padding has no fields: its length is how far the reader moved, which frame_bytes says. False when
 * the frame does not fit the writer. */
bool rewrite_frame(struct rudp_writer *writer, const struct rudp_frame *frame, size_t frame_bytes);

/* Writes the packet that rudp_wire_read_packet split into header and frames. Returns the status of
 * reading the frames; then out_bytes is the size of the packet in out, whose room of
 * capacity_bytes must suffice: trap. */
enum rudp_status rewrite_packet(const struct rudp_header *header, struct rudp_reader frames,
                                uint8_t *out, size_t capacity_bytes, size_t *out_bytes);

#endif
