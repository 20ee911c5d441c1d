/* A V4L2 capture device in user space, for a machine without a camera or kernel modules.
 *
 * Preloaded (LD_PRELOAD) into the camera's worker, it stands between FFmpeg and libc:
 * opening SHIM_DEVICE gives a file descriptor on which the ioctls of streaming capture
 * with memory-mapped buffers work as they do for a UVC camera.
 *
 *   SHIM_DEVICE   path of the node that is the camera
 *   SHIM_FOLDER   folder with
 *       frames    the pictures, played in a loop: length (32 bit little-endian), bytes
 *       fault     empty or missing: none; else one word:
 *                   unplug   ENODEV from everything, ENOENT from open
 *                   busy     EBUSY from open
 *                   hang     no more pictures: VIDIOC_DQBUF blocks for ever
 *                   format   the driver insists on YUYV; in a running stream, pictures
 *                            of another size come (file `other`)
 *                   freeze   the same picture for ever
 *                   black    the pictures of file `black`; `covered`: of file `covered`
 *                   slow     half the promised frames per second
 *
 * The files `black`, `covered` and `other` are like `frames`.
 *
 *   SHIM_FORMAT   "h264": the pictures are H.264; else MJPEG
 *
 * The device has one format only, and one stream at a time. Only what FFmpeg uses is here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 4
#define BUFFER_SIZE (1 << 20)
#define POLL_NS 5000000L

static int (*libc_open)(const char *, int, ...);
static int (*libc_close)(int);
static int (*libc_ioctl)(int, unsigned long, ...);

/* The camera's descriptor is the memfd that holds its buffers, so that libc's own mmap
 * maps them. */
static int camera = -1;
static uint32_t width = 640, height = 480, rate = 30, layout = V4L2_PIX_FMT_MJPEG;
static int queue[BUFFERS], queued;
static uint32_t sequence;
static int64_t next_ns;
static uint8_t *frames;
static size_t frames_size, position, shown;
static const char *playing = "frames";

__attribute__((constructor)) static void resolve(void)
{
    libc_open = dlsym(RTLD_NEXT, "open");
    libc_close = dlsym(RTLD_NEXT, "close");
    libc_ioctl = dlsym(RTLD_NEXT, "ioctl");
    const char *format = getenv("SHIM_FORMAT");
    if (format && strcmp(format, "h264") == 0)
        layout = V4L2_PIX_FMT_H264;
}

static int fail(int number)
{
    errno = number;
    return -1;
}

static int open_in_folder(const char *name)
{
    char path[512];
    const char *folder = getenv("SHIM_FOLDER");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : ".", name);
    return libc_open(path, O_RDONLY | O_CLOEXEC);
}

static int fault_is(const char *word)
{
    char text[16] = "";
    int fd = open_in_folder("fault");
    if (fd < 0)
        return 0;
    ssize_t count = read(fd, text, sizeof text - 1);
    libc_close(fd);
    return count > 0 && strcmp(text, word) == 0;
}

static int load_frames(const char *name)
{
    struct stat status;
    int fd = open_in_folder(name);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -1;
    free(frames);
    frames_size = (size_t)status.st_size;
    frames = malloc(frames_size);
    size_t have = 0;
    while (frames && have < frames_size) {
        ssize_t count = read(fd, frames + have, frames_size - have);
        if (count <= 0)
            break;
        have += (size_t)count;
    }
    libc_close(fd);
    position = 0;
    return frames && have == frames_size ? 0 : -1;
}

static int open_camera(void)
{
    if (fault_is("unplug"))
        return fail(ENOENT);
    if (fault_is("busy") || camera >= 0)
        return fail(EBUSY);
    if (load_frames("frames") < 0)
        return fail(EIO);
    playing = "frames";
    camera = memfd_create("camera", MFD_CLOEXEC);
    if (camera >= 0 && ftruncate(camera, (off_t)BUFFERS * BUFFER_SIZE) < 0)
        return -1;
    queued = 0;
    sequence = 0;
    return camera;
}

static int open_any(const char *path, int flags, mode_t mode)
{
    const char *device = getenv("SHIM_DEVICE");
    if (device && strcmp(path, device) == 0)
        return open_camera();
    return libc_open(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_any(path, flags | O_LARGEFILE, mode);
}

int close(int fd)
{
    if (fd >= 0 && fd == camera)
        camera = -1;
    return libc_close(fd);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void give_format(struct v4l2_format *format)
{
    struct v4l2_pix_format *pix = &format->fmt.pix;
    pix->width = width;
    pix->height = height;
    pix->pixelformat = fault_is("format") ? V4L2_PIX_FMT_YUYV : layout;
    pix->field = V4L2_FIELD_NONE;
    pix->bytesperline = 0;
    pix->sizeimage = BUFFER_SIZE;
    pix->colorspace = V4L2_COLORSPACE_JPEG;
}

static int capabilities(struct v4l2_capability *about)
{
    memset(about, 0, sizeof *about);
    strcpy((char *)about->driver, "shim");
    strcpy((char *)about->card, "Shim camera");
    about->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    about->capabilities = about->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int enumerate_input(struct v4l2_input *input)
{
    if (input->index > 0)
        return fail(EINVAL);
    memset(input, 0, sizeof *input);
    input->type = V4L2_INPUT_TYPE_CAMERA;
    return 0;
}

static int enumerate_format(struct v4l2_fmtdesc *entry)
{
    if (entry->index > 0)
        return fail(EINVAL);
    entry->pixelformat = fault_is("format") ? V4L2_PIX_FMT_YUYV : layout;
    entry->flags = fault_is("format") ? 0 : V4L2_FMT_FLAG_COMPRESSED;
    return 0;
}

static int parameters(struct v4l2_streamparm *parm)
{
    struct v4l2_captureparm *capture = &parm->parm.capture;
    capture->capability = V4L2_CAP_TIMEPERFRAME;
    capture->timeperframe.numerator = 1;
    capture->timeperframe.denominator = rate;
    return 0;
}

static int query_buffer(struct v4l2_buffer *buffer)
{
    if (buffer->index >= BUFFERS)
        return fail(EINVAL);
    buffer->length = BUFFER_SIZE;
    buffer->m.offset = buffer->index * BUFFER_SIZE;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return 0;
}

static int enqueue(const struct v4l2_buffer *buffer)
{
    if (buffer->index >= BUFFERS || queued == BUFFERS)
        return fail(EINVAL);
    queue[queued++] = (int)buffer->index;
    return 0;
}

/* Choose the file that the fault asks for. */
static int choose_frames(void)
{
    const char *wanted = fault_is("black")     ? "black"
                         : fault_is("covered") ? "covered"
                         : fault_is("format")  ? "other"
                                               : "frames";
    if (wanted == playing)
        return 0;
    playing = wanted;
    shown = 0;
    return load_frames(wanted);
}

/* Block until the next picture is due, as a camera does; watch for faults meanwhile. */
static int dequeue(struct v4l2_buffer *buffer)
{
    const struct timespec pause = {0, POLL_NS};
    while (fault_is("hang") || queued == 0 || now_ns() < next_ns) {
        if (fault_is("unplug"))
            return fail(ENODEV);
        nanosleep(&pause, NULL);
    }
    if (fault_is("unplug"))
        return fail(ENODEV);
    int64_t now = now_ns();
    next_ns += 1000000000 / rate * (fault_is("slow") ? 2 : 1);
    if (next_ns < now) /* pictures that nobody fetched are lost */
        next_ns = now;
    uint32_t length;
    if (choose_frames() < 0)
        return fail(EIO);
    if (fault_is("freeze"))
        position = shown;
    if (position >= frames_size)
        position = 0;
    shown = position;
    memcpy(&length, frames + position, sizeof length);
    int index = queue[0];
    memmove(queue, queue + 1, sizeof queue[0] * (size_t)--queued);
    if (pwrite(camera, frames + position + sizeof length, length, (off_t)index * BUFFER_SIZE) !=
        (ssize_t)length)
        return fail(EIO);
    position += sizeof length + length;
    buffer->index = (uint32_t)index;
    query_buffer(buffer);
    buffer->bytesused = length;
    buffer->field = V4L2_FIELD_NONE;
    buffer->timestamp.tv_sec = now / 1000000000;
    buffer->timestamp.tv_usec = now % 1000000000 / 1000;
    buffer->sequence = sequence++;
    return 0;
}

static int camera_ioctl(unsigned long request, void *argument)
{
    if (fault_is("unplug"))
        return fail(ENODEV);
    switch ((uint32_t)request) {
    case VIDIOC_QUERYCAP:
        return capabilities(argument);
    case VIDIOC_ENUMINPUT:
        return enumerate_input(argument);
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return 0;
    case VIDIOC_ENUM_FMT:
        return enumerate_format(argument);
    case VIDIOC_G_FMT:
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT:
        give_format(argument);
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        return parameters(argument);
    case VIDIOC_REQBUFS:
        ((struct v4l2_requestbuffers *)argument)->count = BUFFERS;
        return 0;
    case VIDIOC_QUERYBUF:
        return query_buffer(argument);
    case VIDIOC_QBUF:
        return enqueue(argument);
    case VIDIOC_DQBUF:
        return dequeue(argument);
    case VIDIOC_STREAMON:
        next_ns = now_ns();
        return 0;
    case VIDIOC_STREAMOFF:
        queued = 0;
        return 0;
    default:
        return fail(ENOTTY);
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return fd >= 0 && fd == camera ? camera_ioctl(request, argument)
                                   : libc_ioctl(fd, request, argument);
}
