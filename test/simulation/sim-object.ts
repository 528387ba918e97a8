// A Durable Object in the simulated world, whatever is in it: its lives, its alarm, the calls that reach it.
import type { Random } from "../support/random.ts";
import type { Faults } from "./faults.ts";
import type { Owner, Scheduler } from "./scheduler.ts";

const ALARM_RETRY_MS = 2000;

/** What the world lends to all that is in it. */
export interface SimContext {
  readonly scheduler: Scheduler;
  readonly faults: Faults;
  readonly count: (what: string) => void;
  /** Something does not hold. */
  readonly fail: (what: string) => void;
  /** A lookup that runs now may notice what just happened. */
  readonly noteReadFault: () => void;
}

/** What the runtime sees of an object's storage. */
export interface ObjectStorage {
  readonly alarm: number | null;
  readonly hasDurableAlarm: boolean;
  /** The alarm as the runtime changes it, at once durable. */
  setDurableAlarm(atMs: number | null): void;
  /** Loses units that were not synced: all but the first `random` many. Without `random` nothing is lost. */
  crash(random?: Random): number;
  sync(): Promise<void>;
}

/** One life of an object, from its start to its crash or eviction. */
export class Host<T> {
  isAlive = true;
  /** The runtime will end it soon. */
  isBroken = false;
  alarmsRunning = 0;
  /** Since when, on the steady clock, an alarm has been running. */
  alarmSinceMs = 0;
  callsRunning = 0;
  /** Never fulfilled. */
  readonly death: Promise<never>;
  readonly state: T;
  readonly #die: (reason: Error) => void;

  constructor(make: (host: Host<T>) => T) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    this.death = promise;
    this.#die = reject;
    this.state = make(this);
  }

  end(): void {
    this.isAlive = false;
    this.#die(new Error("simulated: the object is gone"));
  }
}

export type AlarmKind = "due" | "early" | "doubled";

export abstract class SimObject<T> {
  /** When the alarm was to be that the runtime dropped; undefined once the object can know of it. */
  lostAlarmAt: number | undefined;
  abstract readonly storage: ObjectStorage;
  protected readonly context: SimContext;
  readonly #kind: string;
  #host: Host<T> | undefined;
  /** An alarm whose handler died is run again. */
  #alarmRetryAt: number | undefined;
  /** Without the alarm that the runtime dropped, nothing wakes the object but a call. */
  #isAsleep = false;

  constructor(kind: string, context: SimContext) {
    this.#kind = kind;
    this.context = context;
  }

  protected abstract make(host: Host<T>): T;
  /** The handler of the alarm. */
  protected abstract handle(host: Host<T>): Promise<void>;

  get host(): Host<T> | undefined {
    return this.#host;
  }

  get isBusy(): boolean {
    return (this.#host?.alarmsRunning ?? 0) > 0;
  }

  /** When the runtime will run the alarm, on the object's clock. */
  get nextAlarm(): number | undefined {
    const times = [this.storage.alarm, this.#alarmRetryAt].filter((at) => at !== null && at !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** What the object's own clock shows. */
  get nowMs(): number {
    return this.context.scheduler.wallMs;
  }

  open(): Host<T> {
    if (this.#host !== undefined) return this.#host;
    this.context.count(`${this.#kind}: start`);
    this.#host = new Host((host) => this.make(host));
    this.lostAlarmAt = undefined;
    return this.#host;
  }

  /** The next call finds a new instance; this one goes on with what it is doing. */
  protected forget(host: Host<T>): void {
    if (this.#host === host) this.#host = undefined;
  }

  /** Ends the object. With `random`, writes that were not synced may be lost. */
  crash(random: Random | undefined): string {
    const host = this.#host;
    if (host === undefined) return "not running";
    const { scheduler, count, noteReadFault } = this.context;
    if (random !== undefined) count(`${this.#kind}: crash`);
    for (const label of new Set(scheduler.waitsOf(host))) count(`${this.#kind}: crash during ${label}`);
    this.#host = undefined;
    const lost = this.storage.crash(random);
    this.end(host);
    if (host.alarmsRunning > 0) this.#alarmRetryAt = this.nowMs + ALARM_RETRY_MS;
    if (lost > 0) count(`${this.#kind}: crash that loses writes`);
    noteReadFault();
    return `${lost} units lost`;
  }

  protected end(host: Host<T>): void {
    this.context.scheduler.kill(host);
    host.end();
  }

  /** The runtime ends alarms that take longer than this. */
  endOlder(ms: number): void {
    const host = this.#host;
    const before = this.context.scheduler.steadyMs - ms;
    if (host === undefined || host.alarmsRunning === 0 || host.alarmSinceMs > before) return;
    this.context.count(`${this.#kind}: its time is up`);
    this.crash(undefined);
  }

  /** The runtime takes an object away that has nothing to do: all is durable, memory is gone. */
  evict(): string {
    const host = this.#host;
    if (host === undefined || host.callsRunning > 0 || host.alarmsRunning > 0) return "busy";
    this.context.count(`${this.#kind}: evict`);
    return this.crash(undefined);
  }

  /** Runs the alarm if its time has come, or, `early`, before that. False when there is none to run. */
  alarm(how: AlarmKind = "due"): boolean {
    const isRetry = this.#alarmRetryAt !== undefined && this.#alarmRetryAt <= this.nowMs;
    const { alarm } = this.storage;
    if (!isRetry && (alarm === null || (alarm > this.nowMs && how !== "early"))) return false;
    this.context.count(`${this.#kind}: alarm ${isRetry ? "again" : how}`);
    if (isRetry) this.#alarmRetryAt = undefined;
    else this.storage.setDurableAlarm(null);
    const host = this.open();
    void this.#run(host);
    if (how === "doubled") void this.#run(host);
    return true;
  }

  async #run(host: Host<T>): Promise<void> {
    if (host.alarmsRunning === 0) host.alarmSinceMs = this.context.scheduler.steadyMs;
    host.alarmsRunning++;
    try {
      await this.handle(host);
    } catch (error) {
      this.context.fail(`the alarm of a ${this.#kind} threw ${String(error)}`);
    }
    // The runtime takes an alarm for done when the handler's writes are durable. If they cannot be, the object ends, and
    // the alarm runs again.
    await this.storage.sync().then(
      () => host.alarmsRunning--,
      () => undefined,
    );
  }

  /** The runtime forgets the alarm, as it does after six failures of its handler. */
  loseAlarm(): string {
    const { alarm } = this.storage;
    if (alarm === null) return "none set";
    this.storage.setDurableAlarm(null);
    this.#isAsleep = true;
    // An object that starts looks at its alarm; one that runs can only wonder why it does not come.
    if (this.#host !== undefined) this.lostAlarmAt = alarm;
    this.context.count(`${this.#kind}: alarm lost`);
    return "lost";
  }

  /** Whether the runtime or the object itself will see to what waits. */
  get isCovered(): boolean {
    if (this.storage.hasDurableAlarm) this.#isAsleep = false;
    return (
      this.nextAlarm !== undefined ||
      this.isBusy ||
      this.lostAlarmAt !== undefined ||
      (this.#host === undefined && this.#isAsleep)
    );
  }

  /**
   * A call from outside. It may get lost on the way there or back, and be done twice if `mayDouble`.
   * @throws when it got lost, or the object ended meanwhile
   */
  async call<R>(
    name: string,
    caller: Owner | undefined,
    run: (state: T) => R | Promise<R>,
    mayDouble = false,
  ): Promise<R> {
    const { scheduler, faults } = this.context;
    await scheduler.wait(`${name} call`, { owner: caller });
    const fate = faults.callFate(mayDouble);
    if (fate !== "done") this.#noteFault(`call: ${fate}`);
    if (fate === "lost") throw new Error(`simulated: ${name} does not arrive`);
    const host = this.open();
    host.callsRunning++;
    try {
      if (fate === "doubled") void this.#repeat(host, run);
      const result = await Promise.race([Promise.resolve(run(host.state)), host.death]);
      await scheduler.wait(`${name} answer`, { owner: caller });
      if (!host.isAlive || fate === "answer lost") throw new Error(`simulated: no answer to ${name}`);
      return result;
    } catch (error) {
      // A caller that is dead hears of nothing.
      if (scheduler.isDead(caller)) await new Promise(() => undefined);
      this.context.count(`call: ${name} fails`);
      this.context.noteReadFault();
      throw error;
    } finally {
      host.callsRunning--;
    }
  }

  /** Also when what it does is refused. */
  async #repeat<R>(host: Host<T>, run: (state: T) => R | Promise<R>): Promise<void> {
    await this.context.scheduler.wait("doubled call", { owner: host });
    await Promise.resolve(run(host.state)).catch(() => undefined);
  }

  #noteFault(what: string): void {
    this.context.count(what);
    this.context.noteReadFault();
  }
}
