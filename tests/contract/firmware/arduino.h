/* As much of Arduino as docs/panel-firmware/panel.ino needs, on Linux.
 *
 * The serial port is the file descriptor named by the first argument, the far end of a pty.
 * Pins come in on standard input as lines "pin level" and go out on standard output when
 * they change.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LOW, HIGH, OUTPUT, INPUT_PULLUP };

static int levels[32], port;

static unsigned long millis()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

static void pinMode(int pin, int mode) { levels[pin] = mode == INPUT_PULLUP ? HIGH : LOW; }

static int digitalRead(int pin) { return levels[pin]; }

static void digitalWrite(int pin, int level)
{
    if (levels[pin] == level)
        return;
    levels[pin] = level;
    printf("%d %d\n", pin, level);
    fflush(stdout);
}

static struct {
    void begin(long) { fcntl(port, F_SETFL, O_NONBLOCK); }
    int available()
    {
        int count = 0;
        return ioctl(port, FIONREAD, &count) == 0 ? count : 0;
    }
    int read()
    {
        unsigned char byte;
        return ::read(port, &byte, 1) == 1 ? byte : -1;
    }
    void write(const char *data, int size)
    {
        if (::write(port, data, (size_t)size) < 0)
            return; /* a full port loses it, as the board's does */
    }
} Serial;

void setup();
void loop();

int main(int, char **arguments)
{
    int pin, level;
    char text[32];
    port = atoi(arguments[1]);
    setup();
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (;;) {
        pollfd both[2] = {{0, POLLIN, 0}, {port, POLLIN, 0}};
        poll(both, 2, 5);
        ssize_t size = read(0, text, sizeof text - 1);
        if (size == 0)
            return 0; /* the test is over */
        text[size > 0 ? size : 0] = 0;
        for (char *each = strtok(text, "\n"); each; each = strtok(0, "\n"))
            if (sscanf(each, "%d %d", &pin, &level) == 2)
                levels[pin] = level;
        loop();
    }
}
