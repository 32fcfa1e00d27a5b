/* settings.h - the RUDP_ variables as options, from the very table that the shim reads them by. */
#ifndef RUDP_TOOLS_SETTINGS_H
#define RUDP_TOOLS_SETTINGS_H

#include "shim/environment.h"

#include <argp.h>

/* For argp's children: --packet-size=1400 sets RUDP_PACKET_SIZE in the environment, and so on. */
const struct argp *command_settings_options(void);

/* Reads the environment as the shim would. False: error (SHIM_ERROR_BYTES_MAX) says which variable
 * and what would be accepted, without an end of line. */
bool command_settings_read(struct shim_settings *settings, char *error);

#endif
