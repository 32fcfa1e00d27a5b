/* A bad link between two network namespaces: makes both, with a TUN device in each, and carries the
 * IP packets from one device to the other as an impair_link decides. Needs root.
 *
 *     tun_link ADDRESS_A ADDRESS_B LOSS_PERCENT DELAY_TIME SEED
 *
 * Prints "ready PID FD_A FD_B": /proc/PID/fd/FD_A is namespace A, which lives as long as this
 * program or a program in it. Ends when standard input does, with "packets N lost M" for the two
 * directions. */
#include "tools/impair/held.h"
#include "tools/impair/link.h"
#include "tools/impair/units.h"

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_BYTES_MAX 65536u
#define HELD_BYTES_MAX   (64u << 20)
#define DEVICE           "rudp0"

struct side {
    int namespace_fd;
    int tun_fd;
    struct impair_link link; /* what leaves this side */
};

static struct side sides[2];
static struct impair_held held = {.bytes_max = HELD_BYTES_MAX};

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void set_address(int fd, unsigned long request, const char *device, const char *address)
{
    struct ifreq interface = {0};
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
        errx(EXIT_FAILURE, "'%s' is not an IPv4 address", address);
    snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", device);
    memcpy(&interface.ifr_addr, &in, sizeof in);
    if (ioctl(fd, request, &interface) != 0)
        err(EXIT_FAILURE, "address of %s", device);
}

static void bring_up(int fd, const char *device)
{
    struct ifreq interface = {.ifr_flags = IFF_UP | IFF_RUNNING};

    snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", device);
    if (ioctl(fd, SIOCSIFFLAGS, &interface) != 0)
        err(EXIT_FAILURE, "bring %s up", device);
}

/* Enters a new namespace, and stays in it. */
static void make_side(struct side *side, const char *address, const char *peer)
{
    struct ifreq interface = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = DEVICE};

    if (unshare(CLONE_NEWNET) != 0)
        err(EXIT_FAILURE, "new network namespace");
    side->namespace_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    side->tun_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (side->namespace_fd < 0 || side->tun_fd < 0 || ioctl(side->tun_fd, TUNSETIFF, &interface))
        err(EXIT_FAILURE, "TUN device");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        err(EXIT_FAILURE, "socket");
    set_address(fd, SIOCSIFADDR, DEVICE, address);
    set_address(fd, SIOCSIFDSTADDR, DEVICE, peer);
    bring_up(fd, DEVICE);
    bring_up(fd, "lo");
    close(fd);
}

static void write_packet(size_t to, const uint8_t *data, size_t bytes)
{
    /* A full or closing device drops, as links do. */
    ssize_t written = write(sides[to].tun_fd, data, bytes);

    (void)written;
}

static void carry(size_t from, uint8_t *data, size_t bytes, uint64_t at_us)
{
    struct impair_verdict verdict;

    impair_link_pass(&sides[from].link, bytes, at_us, &verdict);
    for (size_t i = 0; i < verdict.copy_count; i++) {
        struct impair_datagram *packet = impair_held_allocate(&held, verdict.bytes);

        if (packet == NULL)
            return;
        packet->due_us = verdict.due_us[i];
        packet->upwards = from == 0;
        memcpy(packet->data, data, verdict.bytes);
        impair_held_push(&held, packet);
    }
}

static void release_due(uint64_t at_us)
{
    struct impair_datagram *packet;

    while ((packet = impair_held_pop(&held, at_us)) != NULL) {
        write_packet(packet->upwards ? 1 : 0, packet->data, packet->bytes);
        impair_held_release(&held, packet);
    }
}

static struct timespec wait_time(uint64_t at_us)
{
    uint64_t due_us = impair_held_due_us(&held);
    uint64_t wait_us = due_us > at_us ? due_us - at_us : 0;

    return (struct timespec){.tv_sec = (time_t)(wait_us / 1000000u),
                             .tv_nsec = (long)(wait_us % 1000000u * 1000u)};
}

static void run(void)
{
    static uint8_t packet[PACKET_BYTES_MAX];
    struct pollfd fds[] = {{.fd = sides[0].tun_fd, .events = POLLIN},
                           {.fd = sides[1].tun_fd, .events = POLLIN},
                           {.fd = STDIN_FILENO, .events = POLLIN}};

    while (fds[2].revents == 0) {
        struct timespec wait = wait_time(now_us());

        if (ppoll(fds, 3, held.count > 0 ? &wait : NULL, NULL) < 0)
            err(EXIT_FAILURE, "ppoll");
        for (size_t i = 0; i < 2; i++) {
            ssize_t bytes;

            while (fds[i].revents != 0 && (bytes = read(fds[i].fd, packet, sizeof packet)) > 0)
                carry(i, packet, (size_t)bytes, now_us());
        }
        release_due(now_us());
    }
}

int main(int argc, char **argv)
{
    struct impair_settings settings = {0};
    uint64_t seed;

    if (argc != 6 || !impair_parse_percent(argv[3], &settings.loss_ppm) ||
        !impair_parse_time(argv[4], &settings.delay_us) ||
        !impair_parse_number(argv[5], UINT64_MAX, &seed))
        errx(EXIT_FAILURE, "usage: tun_link ADDRESS_A ADDRESS_B LOSS_PERCENT DELAY_TIME SEED");
    for (size_t i = 0; i < 2; i++) {
        make_side(&sides[i], argv[1 + i], argv[2 - i]);
        impair_link_init(&sides[i].link, &settings, seed, i);
    }
    printf("ready %d %d %d\n", (int)getpid(), sides[0].namespace_fd, sides[1].namespace_fd);
    fflush(stdout);
    run();
    for (size_t i = 0; i < 2; i++)
        printf("packets %" PRIu64 " lost %" PRIu64 "\n", sides[i].link.counters.received,
               sides[i].link.counters.lost);
    impair_held_clear(&held);
    return EXIT_SUCCESS;
}
