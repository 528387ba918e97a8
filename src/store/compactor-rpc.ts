// The methods of a Compactor object, which has the name of its shard.

/** How far a rebuild of the catalogue has come. */
export interface RebuildProgress {
  /** The date (UTC) that is next or was last, as its first ms. */
  readonly dateMs: number;
  /** Blocks that were added to the catalogue. */
  readonly adopted: number;
  /** Blocks that cannot be read and were left out. */
  readonly damaged: number;
  /** Every block has been looked at. */
  readonly done: boolean;
}

export interface CompactorRpc {
  /** Makes it ask the shard for jobs soon, if it does not do so already. */
  wake(): Promise<void>;
  /**
   * Begins to add the blocks of the bucket that the shard's catalogue lacks; goes on by itself, jobs wait meanwhile, and
   * for the 15 minutes after which it looks once more. Also when begun before: again from the start.
   */
  rebuild(): Promise<void>;
  /** Of the rebuild that was begun last; undefined when there was none. */
  rebuildProgress(): Promise<RebuildProgress | undefined>;
  /** Removes all that it keeps, its alarm too. A job that is being done comes to its end, which the shard refuses. */
  destroy(): Promise<void>;
}
