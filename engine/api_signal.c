#include "engine/api.h"

#include "engine/system.h"

int api_signal_fd(struct api_signal *signal)
{
    if (signal->fd < 0) {
        signal->fd = (int)engine_sys_eventfd();
        if (signal->fd >= 0 && signal->is_set)
            engine_sys_eventfd_set(signal->fd);
    }
    return signal->fd;
}

void api_signal_set(struct api_signal *signal, bool is_set)
{
    if (signal->is_set == is_set)
        return;
    signal->is_set = is_set;
    if (signal->fd < 0)
        return;
    if (is_set)
        engine_sys_eventfd_set(signal->fd);
    else
        engine_sys_eventfd_clear(signal->fd);
}

void api_signal_close(struct api_signal *signal)
{
    if (signal->fd >= 0)
        engine_sys_close(signal->fd);
    signal->fd = -1;
}
