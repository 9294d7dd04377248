package c360;

import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code standing(fingerprint) OVER (PARTITION BY event_id …)}: 0 for the first event of an id, 1 for its repetition, 2 for
 * another content under the same id.
 */
public final class Standing extends AggregateFunction<Integer, Standing.Seen> {
  public static final int FIRST = 0;
  public static final int REPEATED = 1;
  public static final int CONFLICTING = 2;

  /** What is kept of an id: one number and how the latest event stands. */
  public static final class Seen {
    public long fingerprint;
    public int standing = -1;
  }

  @Override
  public Seen createAccumulator() {
    return new Seen();
  }

  public void accumulate(Seen seen, Long fingerprint) {
    if (seen.standing < 0) {
      seen.fingerprint = fingerprint;
      seen.standing = FIRST;
    } else {
      seen.standing = seen.fingerprint == fingerprint ? REPEATED : CONFLICTING;
    }
  }

  @Override
  public Integer getValue(Seen seen) {
    return seen.standing;
  }
}
