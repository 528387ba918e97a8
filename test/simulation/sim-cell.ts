// The storage of a small object: one value and the alarm, which a crash takes back to what was synced.
import type { Random } from "../support/random.ts";
import type { ObjectStorage } from "./sim-object.ts";

interface State<S> {
  /** Ascends with the units. */
  readonly number: number;
  readonly value: S;
  readonly alarm: number | null;
}

/** What is written in one turn is one unit, as in sim-storage.ts. */
export class SimCell<S> implements ObjectStorage {
  readonly #device: () => Promise<void>;
  #durable: State<S>;
  /** Not durable yet, oldest first; the last is what the object sees. */
  #units: State<S>[] = [];
  #unitIsOpen = false;

  /** @param device resolves when it has written; rejects when it cannot */
  constructor(value: S, device: () => Promise<void>) {
    this.#durable = { number: 0, value, alarm: null };
    this.#device = device;
  }

  get #current(): State<S> {
    return this.#units.at(-1) ?? this.#durable;
  }

  get value(): S {
    return this.#current.value;
  }

  get alarm(): number | null {
    return this.#current.alarm;
  }

  get hasDurableAlarm(): boolean {
    return this.#durable.alarm !== null;
  }

  get isDurable(): boolean {
    return this.#units.length === 0;
  }

  set(value: S): void {
    this.#write(value, this.alarm);
  }

  setAlarm(alarm: number | null): void {
    this.#write(this.value, alarm);
  }

  #write(value: S, alarm: number | null): void {
    const { number } = this.#current;
    if (this.#unitIsOpen && this.#units.length > 0) {
      this.#units.splice(-1, 1, { number, value, alarm });
      return;
    }
    this.#unitIsOpen = true;
    queueMicrotask(() => {
      this.#unitIsOpen = false;
    });
    this.#units.push({ number: number + 1, value, alarm });
  }

  setDurableAlarm(alarm: number | null): void {
    this.#durable = { ...this.#durable, alarm };
    this.#units = this.#units.map((unit) => ({ ...unit, alarm }));
  }

  crash(random?: Random): number {
    const kept = random === undefined ? this.#units.length : random.below(this.#units.length + 1);
    const lost = this.#units.length - kept;
    this.#durable = this.#units[kept - 1] ?? this.#durable;
    this.#units = [];
    this.#unitIsOpen = false;
    return lost;
  }

  async sync(): Promise<void> {
    const { number } = this.#current;
    if (this.#units.length === 0) return;
    await this.#device();
    this.#durable = this.#units.findLast((unit) => unit.number <= number) ?? this.#durable;
    this.#units = this.#units.filter((unit) => unit.number > number);
  }
}
