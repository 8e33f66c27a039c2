/*
 * linkem: a link with delay, jitter, loss, rate, queue and reordering, in user space.
 *
 * Many kernels that tests run on lack sch_netem, so the laboratory's links do not come from tc: each is a pair of TUN
 * devices, and this program carries the packets from one to the other. It is in C because making a TUN device takes an
 * ioctl, and the crate denies `unsafe`.
 *
 * usage: linkem NAMESPACE DEVICE NAMESPACE DEVICE        (a namespace is a path, such as /proc/PID/fd/N)
 *
 * It writes "ready" once both devices are there. Each line of its input
 *
 *     DELAY_MS JITTER_MS LOSS_PERCENT RATE_MBIT QUEUE_PACKETS REORDER_PERCENT
 *
 * holds for both directions from then on, and is answered by "ok". A rate of 0 is no limit. Jitter keeps the order; that
 * many percent of the packets overtake by skipping the delay. A loss of 100 is a link that is down: what was under way
 * is lost as well. The end of its input ends it, so that it never outlives the test, however that ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { FULL_PACKET = 1500, LARGEST_PACKET = 65536, PACKETS_A_TURN = 64 };

static const uint64_t SECOND = 1000000000, MILLISECOND = 1000000;

struct conditions {
    double delay_ms, jitter_ms, loss_percent, rate_mbit, queue_packets, reorder_percent;
};

/* A packet under way. The number keeps the order among those that are due at the same time. */
struct packet {
    uint64_t due, number;
    size_t length;
    unsigned char *bytes;
};

struct direction {
    int from, to;
    struct packet *heap;
    size_t count, capacity;
    uint64_t number;
    /* When the last packet that kept the order is due, and until when the rate is used up. */
    uint64_t last_due, busy_until;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* At least 0 and less than 1. The seed is always the same; the order of what is drawn for is not. */
static double chance(void)
{
    static unsigned short state[3] = { 1, 2, 3 };
    return erand48(state);
}

static int make_device(const char *namespace, const char *name)
{
    int space = open(namespace, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) < 0)
        die(namespace);
    close(space);
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (device < 0 || ioctl(device, TUNSETIFF, &request) < 0)
        die("/dev/net/tun");
    return device;
}

static int is_before(const struct packet *a, const struct packet *b)
{
    return a->due < b->due || (a->due == b->due && a->number < b->number);
}

static void push(struct direction *direction, struct packet packet)
{
    if (direction->count == direction->capacity) {
        direction->capacity = direction->capacity ? direction->capacity * 2 : 1024;
        direction->heap = realloc(direction->heap, direction->capacity * sizeof packet);
        if (!direction->heap)
            die("realloc");
    }
    size_t at = direction->count++;
    for (; at && is_before(&packet, &direction->heap[(at - 1) / 2]); at = (at - 1) / 2)
        direction->heap[at] = direction->heap[(at - 1) / 2];
    direction->heap[at] = packet;
}

static struct packet pop(struct direction *direction)
{
    struct packet *heap = direction->heap;
    struct packet first = heap[0], last = heap[--direction->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < direction->count; at = child) {
        if (child + 1 < direction->count && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return first;
}

/* Decides what becomes of a packet: lost, turned away by a full queue, or due at some time. */
static void take(struct direction *direction, const struct conditions *link, const unsigned char *bytes, size_t length)
{
    if (chance() * 100 < link->loss_percent)
        return;
    uint64_t sent = now();
    if (link->rate_mbit > 0) {
        double per_byte = 8000 / link->rate_mbit;
        if (direction->busy_until < sent)
            direction->busy_until = sent;
        if ((double)(direction->busy_until - sent) > link->queue_packets * FULL_PACKET * per_byte)
            return;
        direction->busy_until += (uint64_t)((double)length * per_byte);
        sent = direction->busy_until;
    }
    double delay = link->delay_ms + link->jitter_ms * (2 * chance() - 1);
    uint64_t due = sent + (delay > 0 ? (uint64_t)(delay * (double)MILLISECOND) : 0);
    if (chance() * 100 < link->reorder_percent) {
        due = sent;
    } else {
        if (due < direction->last_due)
            due = direction->last_due;
        direction->last_due = due;
    }
    struct packet packet = { due, direction->number++, length, malloc(length) };
    if (!packet.bytes)
        die("malloc");
    memcpy(packet.bytes, bytes, length);
    push(direction, packet);
}

static void receive(struct direction *direction, const struct conditions *link)
{
    static unsigned char bytes[LARGEST_PACKET];
    for (int turn = 0; turn < PACKETS_A_TURN; turn++) {
        ssize_t length = read(direction->from, bytes, sizeof bytes);
        if (length <= 0)
            return;
        take(direction, link, bytes, (size_t)length);
    }
}

static void deliver(struct direction *direction)
{
    while (direction->count && direction->heap[0].due <= now()) {
        struct packet packet = pop(direction);
        /* A device that is down refuses it, which is one more way to be lost. */
        if (write(direction->to, packet.bytes, packet.length) < 0 && errno != EIO && errno != EAGAIN)
            die("write");
        free(packet.bytes);
    }
}

/* Drops what is under way. */
static void drain(struct direction *direction)
{
    while (direction->count)
        free(pop(direction).bytes);
    direction->last_due = direction->busy_until = 0;
}

/* Reads one line of conditions. Lines come one at a time, because each is answered. */
static void command(struct conditions *link, struct direction *directions)
{
    char line[256];
    struct conditions next;
    ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);
    if (length <= 0)
        exit(0);
    line[length] = 0;
    if (sscanf(line, "%lf %lf %lf %lf %lf %lf", &next.delay_ms, &next.jitter_ms, &next.loss_percent, &next.rate_mbit,
               &next.queue_packets, &next.reorder_percent) != 6) {
        fprintf(stderr, "linkem: not conditions of a link: %s", line);
        exit(2);
    }
    *link = next;
    for (int i = 0; i < 2; i++) {
        /* An old delay does not hold back what is sent under a new one. */
        directions[i].last_due = 0;
        if (link->loss_percent >= 100)
            drain(&directions[i]);
    }
    puts("ok");
}

/* Sleeps until a packet comes, one is due, or there is a command. */
static void wait_for_work(struct pollfd *wanted, const struct direction *directions)
{
    uint64_t due = UINT64_MAX, at = now();
    for (int i = 0; i < 2; i++)
        if (directions[i].count && directions[i].heap[0].due < due)
            due = directions[i].heap[0].due;
    uint64_t left = due > at ? due - at : 0;
    struct timespec timeout = { (time_t)(left / SECOND), (long)(left % SECOND) };
    if (ppoll(wanted, 3, due == UINT64_MAX ? NULL : &timeout, NULL) < 0 && errno != EINTR)
        die("ppoll");
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: linkem NAMESPACE DEVICE NAMESPACE DEVICE\n");
        return 2;
    }
    int a = make_device(arguments[1], arguments[2]), b = make_device(arguments[3], arguments[4]);
    struct direction directions[2] = { { .from = a, .to = b }, { .from = b, .to = a } };
    struct conditions link = { 0 };
    struct pollfd wanted[3] = { { a, POLLIN, 0 }, { b, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
    /* Sleeps end in time to a microsecond rather than to fifty. */
    prctl(PR_SET_TIMERSLACK, 1000);
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    for (;;) {
        wait_for_work(wanted, directions);
        for (int i = 0; i < 2; i++) {
            receive(&directions[i], &link);
            deliver(&directions[i]);
        }
        if (wanted[2].revents)
            command(&link, directions);
    }
}
