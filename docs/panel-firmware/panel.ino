// The reference firmware of the kiosk's panel: docs/panel.md is what it speaks.
//
// For any Arduino board with USB of its own (Leonardo, Pro Micro, RP2040...). Buttons and
// the hook switch close to ground; the lamps hang on transistors. The pins are below; the
// USB product string must begin with "kioskd" (boards.txt, or the core's USB settings).
//
// tests/contract/test_firmware.py compiles this very file for Linux and lets the kiosk's
// driver talk to it.

struct Button {
    int pin;
    const char *pressed;  // the event when it closes
    const char *released; // the event when it opens, or 0
};

const Button BUTTONS[] = {
    {2, "press", 0},
    {3, "hang-up", 0},
    {4, "next", 0},
    {5, "previous", 0},
    {6, "volume-up", 0},
    {7, "volume-down", 0},
    {8, "handset-replaced", "handset-lifted"}, // the hook closes while the handset lies on it
};
const int COUNT = sizeof BUTTONS / sizeof BUTTONS[0];
const int CALL_LAMP = 9, CAMERA_LAMP = 10;

const int VERSION = 1;
const unsigned long DEBOUNCE_MS = 30, REPEAT_MS = 200, ALIVE_MS = 1000, SILENCE_MS = 3000;
const unsigned long BLINK_MS = 400;
const int LINE = 80;   // bytes of the longest line
const int WAITING = 8; // events that wait for their acknowledgement

enum Pattern { OFF, ON, BLINK };
struct Lamp {
    int pin;
    const char *name;
    Pattern pattern;
};
Lamp lamps[] = {{CALL_LAMP, "call", OFF}, {CAMERA_LAMP, "camera", OFF}};

bool closed[COUNT];             // as it is told
bool seen[COUNT];               // as it was read last
unsigned long changedAt[COUNT]; // when that changed

const char *events[WAITING];
unsigned long sequence = 0; // of the oldest that waits
int waiting = 0;

char line[LINE + 1];
int length = 0;
bool overlong = false;
unsigned long heardAt = 0, aliveAt = 0, repeatedAt = 0;
bool greeted = false;

unsigned int checksum(const char *text, int size) { // CRC-16/CCITT-FALSE
    unsigned int crc = 0xFFFF;
    for (int i = 0; i < size; i++) {
        crc ^= (unsigned int)(unsigned char)text[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xFFFF;
    }
    return crc;
}

void send(const char *body) {
    char out[LINE + 8];
    int size = snprintf(out, sizeof out, "%s*%04X\n", body, checksum(body, strlen(body)));
    Serial.write(out, size);
}

void sendNumbered(const char *word, unsigned long number, const char *rest) {
    char body[LINE];
    snprintf(body, sizeof body, rest ? "%s %lu %s" : "%s %lu", word, number, rest);
    send(body);
}

void greet() {
    char body[16];
    snprintf(body, sizeof body, "HELLO %d", VERSION);
    send(body);
}

void queueEvent(const char *name) {
    if (!greeted || waiting == WAITING)
        return; // nobody listens, or the kiosk does not keep up: what is newest is lost
    events[waiting++] = name;
    repeatedAt = 0; // now
}

void acknowledged(unsigned long number) {
    if (waiting == 0 || number != sequence)
        return;
    for (int i = 1; i < waiting; i++)
        events[i - 1] = events[i];
    waiting--;
    sequence++;
    repeatedAt = 0;
}

void setLamp(unsigned long number, const char *name, const char *pattern) {
    for (Lamp &lamp : lamps)
        if (strcmp(name, lamp.name) == 0)
            lamp.pattern = strcmp(pattern, "on") == 0      ? ON
                           : strcmp(pattern, "blink") == 0 ? BLINK
                                                           : OFF;
    sendNumbered("ACK", number, 0);
}

// What is no line of ours is dropped without an answer: the kiosk repeats itself.
void take(char *text, int size) {
    char *star = strrchr(text, '*');
    if (star == 0 || text + size - star != 5)
        return;
    char *end;
    unsigned long wanted = strtoul(star + 1, &end, 16);
    if (*end != 0 || wanted != checksum(text, star - text))
        return;
    *star = 0;
    heardAt = millis();
    char *word = strtok(text, " ");
    char *number = strtok(0, " ");
    char *name = strtok(0, " "), *pattern = strtok(0, " ");
    if (word == 0)
        return;
    if (strcmp(word, "HELLO") == 0) {
        greeted = true;
        waiting = 0; // what was pressed before nobody knows any more
        greet();
    } else if (strcmp(word, "ACK") == 0 && number)
        acknowledged(strtoul(number, 0, 10));
    else if (strcmp(word, "LAMP") == 0 && pattern)
        setLamp(strtoul(number, 0, 10), name, pattern);
}

void readLines() {
    while (Serial.available() > 0) {
        char c = (char)Serial.read();
        if (c != '\n') {
            if (length < LINE)
                line[length++] = c;
            else
                overlong = true;
            continue;
        }
        line[length] = 0;
        if (!overlong && (int)strlen(line) == length)
            take(line, length);
        length = 0;
        overlong = false;
    }
}

void readButtons(unsigned long now) {
    for (int i = 0; i < COUNT; i++) {
        bool is = digitalRead(BUTTONS[i].pin) == LOW;
        if (is != seen[i]) {
            seen[i] = is;
            changedAt[i] = now;
        }
        if (seen[i] == closed[i] || now - changedAt[i] < DEBOUNCE_MS)
            continue;
        closed[i] = seen[i];
        const char *event = closed[i] ? BUTTONS[i].pressed : BUTTONS[i].released;
        if (event)
            queueEvent(event);
    }
}

void shine(unsigned long now) {
    for (Lamp &lamp : lamps) {
        bool lit = lamp.pattern == ON || (lamp.pattern == BLINK && now / BLINK_MS % 2 == 0);
        digitalWrite(lamp.pin, lit ? HIGH : LOW);
    }
}

void setup() {
    Serial.begin(115200);
    for (int i = 0; i < COUNT; i++) {
        pinMode(BUTTONS[i].pin, INPUT_PULLUP);
        closed[i] = seen[i] = digitalRead(BUTTONS[i].pin) == LOW;
        changedAt[i] = 0;
    }
    for (Lamp &lamp : lamps)
        pinMode(lamp.pin, OUTPUT);
}

void loop() {
    readLines();
    unsigned long now = millis(); // after what was heard: the differences below are unsigned
    readButtons(now);
    if (now - heardAt > SILENCE_MS) {
        // The kiosk is gone: nobody is filmed, whatever the lamps said last.
        greeted = false;
        for (Lamp &lamp : lamps)
            lamp.pattern = OFF;
    }
    if (greeted && now - aliveAt >= ALIVE_MS) {
        aliveAt = now;
        send("ALIVE");
    }
    if (greeted && waiting > 0 && (repeatedAt == 0 || now - repeatedAt >= REPEAT_MS)) {
        repeatedAt = now;
        sendNumbered("EVENT", sequence, events[0]);
    }
    shine(now);
}
