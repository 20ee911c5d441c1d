// Two soft notes when somebody arrives in the waiting line.

const NOTES_HZ = [660, 880];
const NOTE_S = 0.18;
const LOUDNESS = 0.07;

export class Chime {
  private readonly context = new AudioContext();

  play(): void {
    NOTES_HZ.forEach((hz, index) => {
      const start = this.context.currentTime + index * NOTE_S;
      const tone = this.context.createOscillator();
      const gain = this.context.createGain();
      tone.frequency.value = hz;
      gain.gain.setValueAtTime(LOUDNESS, start);
      gain.gain.exponentialRampToValueAtTime(0.001, start + 2 * NOTE_S);
      tone.connect(gain).connect(this.context.destination);
      tone.start(start);
      tone.stop(start + 2 * NOTE_S);
    });
  }

  close(): void {
    void this.context.close();
  }
}
