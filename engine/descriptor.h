/* descriptor.h - private descriptors, kept out of the way of the program's own numbers. */
#ifndef RUDP_ENGINE_DESCRIPTOR_H
#define RUDP_ENGINE_DESCRIPTOR_H

/* Moves fd to a high number and makes it close-on-exec, so that the numbers the program gets do not
 * depend on us. Returns the new number; fd itself when no high number is free. A negative fd
 * is returned as it is, so a creating call can be wrapped. */
int engine_descriptor_move_high(int fd);

/* A close-on-exec copy of fd, high if a high number is free. The copy, or a negative errno. */
int engine_descriptor_copy_high(int fd);

#endif
