/* Makes the socket calls whose symbols or structures differ between kinds of program (width of
 * long, of time, libc) and writes one line for each: the same lines must come plainly and under the
 * shim. Times themselves are left out, their sizes are not. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define COUNT 3u

static int receiver;
static int sender;

static void show(const char *call, long result)
{
    printf("%s: %ld %s\n", call, result, result < 0 ? strerror(errno) : "");
}

static void open_sockets(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    receiver = socket(AF_INET, SOCK_DGRAM, 0);
    sender = socket(AF_INET, SOCK_DGRAM, 0);
    show("receiver", receiver);
    show("sender", sender);
    show("bind", bind(receiver, (struct sockaddr *)&address, sizeof address));
    show("getsockname", getsockname(receiver, (struct sockaddr *)&address, &bytes));
    show("connect", connect(sender, (struct sockaddr *)&address, bytes));
}

static void set_options(void)
{
    struct timeval limit = {.tv_sec = 0, .tv_usec = 20000};
    struct timeval shown = {0};
    socklen_t bytes = sizeof shown;
    int on = 1;
    char byte;

    show("SO_RCVTIMEO", setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    show("SO_RCVTIMEO read", getsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &shown, &bytes));
    printf("%u bytes, %ld us\n", bytes, (long)shown.tv_sec * 1000000 + (long)shown.tv_usec);
    show("recv after the timeout", recv(receiver, &byte, sizeof byte, 0));
    show("SO_TIMESTAMPNS", setsockopt(receiver, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on));
    show("IP_PKTINFO", setsockopt(receiver, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
}

static void send_many(void)
{
    static char text[COUNT][4] = {"one", "two", ""};
    struct iovec parts[COUNT];
    struct mmsghdr messages[COUNT] = {0};

    for (unsigned i = 0; i < COUNT; i++) {
        parts[i] = (struct iovec){.iov_base = text[i], .iov_len = strlen(text[i])};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    show("sendmmsg", sendmmsg(sender, messages, COUNT, 0));
    show("sendmsg", sendmsg(sender, &messages[0].msg_hdr, MSG_NOSIGNAL));
    for (unsigned i = 0; i < COUNT; i++)
        printf("sent %u\n", messages[i].msg_len);
}

static void receive_message(void)
{
    char text[16] = {0};
    union {
        char bytes[256];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = text, .iov_len = sizeof text};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };

    show("recvmsg", recvmsg(receiver, &message, 0));
    printf("'%s' flags %d control %lu\n", text, message.msg_flags,
           (unsigned long)message.msg_controllen);
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at))
        printf("control %d %d, %lu bytes%s\n", at->cmsg_level, at->cmsg_type,
               (unsigned long)at->cmsg_len,
               at->cmsg_type == SO_TIMESTAMPNS && at->cmsg_len == CMSG_LEN(sizeof(struct timespec))
                   ? ", a timespec"
                   : "");
}

static void receive_many(void)
{
    char text[COUNT][16] = {{0}};
    struct iovec parts[COUNT];
    struct mmsghdr messages[COUNT] = {0};
    struct timespec limit = {.tv_sec = 3600};
    struct timeval patience = {.tv_sec = 10};

    for (unsigned i = 0; i < COUNT; i++) {
        parts[i] = (struct iovec){.iov_base = text[i], .iov_len = sizeof text[i]};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    show("F_SETFL", fcntl(receiver, F_SETFL, 0)); /* waits for all: they may come one by one */
    show("SO_RCVTIMEO", setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    show("recvmmsg", recvmmsg(receiver, messages, COUNT, 0, &limit));
    printf("an hour less what it took: %d\n", limit.tv_sec == 3599 || limit.tv_sec == 3600);
    for (unsigned i = 0; i < COUNT; i++)
        printf("received %u '%s'\n", messages[i].msg_len, text[i]);
    limit.tv_sec = -1;
    show("recvmmsg with no such time", recvmmsg(receiver, messages, COUNT, 0, &limit));
}

static void ask(void)
{
    int bytes = -1;
    struct pollfd wait = {.fd = receiver, .events = POLLIN};

    show("poll", poll(&wait, 1, 10000));
    show("FIONREAD", ioctl(receiver, FIONREAD, &bytes));
    printf("%d bytes\n", bytes);
    show("F_GETFL", fcntl(receiver, F_GETFL) & O_NONBLOCK);
    show("F_SETFL", fcntl(receiver, F_SETFL, O_NONBLOCK));
    show("F_GETFL", fcntl(receiver, F_GETFL) & O_NONBLOCK);
    show("F_DUPFD_CLOEXEC", fcntl(receiver, F_DUPFD_CLOEXEC, 20));
}

/* Until all of them are there: they may come one by one. */
static void await_all(void)
{
    char byte;
    struct pollfd wait = {.fd = receiver, .events = POLLIN};

    for (unsigned i = 0; i < COUNT; i++) {
        (void)poll(&wait, 1, 10000);
        show("read", read(receiver, &byte, sizeof byte));
    }
}

int main(void)
{
    char byte;

    open_sockets();
    set_options();
    send_many();
    ask();
    receive_message();
    await_all();
    show("recv of nothing", recv(receiver, &byte, sizeof byte, 0));
    send_many();
    receive_many();
    show("close", close(receiver));
    show("close again", close(receiver));
    return fflush(stdout) == 0 ? 0 : 1;
}
