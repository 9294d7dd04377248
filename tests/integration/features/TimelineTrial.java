package c360;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.flink.table.api.dataview.MapView;

/** Does by chance what may be done to a Timeline, and beside it to a sorted map; ends in an error where they differ. */
public final class TimelineTrial {
  private final Random random;
  private final int moments;
  private final boolean grows;
  private final MapView<Long, byte[]> state = new MapView<>();
  private final TreeMap<Long, TreeMap<Long, long[]>> wanted = new TreeMap<>();
  private byte[] root;
  private long pages;
  private long clock;
  private int most;

  private TimelineTrial(long seed, int moments, boolean grows) {
    random = new Random(seed);
    this.moments = moments;
    this.grows = grows;
  }

  /** Arguments: seeds, and steps for each of them. Prints the greatest number of pages there were at once. */
  public static void main(String[] given) throws Exception {
    int most = 0;
    for (int seed = 0; seed < Integer.parseInt(given[0]); seed++) {
      TimelineTrial trial = new TimelineTrial(seed, seed % 3 == 0 ? 40 : 100_000, seed % 2 == 0);
      trial.run(Integer.parseInt(given[1]));
      most = Math.max(most, trial.most);
    }
    System.out.println(most);
  }

  private void run(int steps) throws Exception {
    for (int step = 0; step < steps; step++) {
      // A queue that is mostly filled, then mostly emptied, and so on.
      change(new Timeline(state, root, pages), step / (steps / 4) % 2 == 0 ? 8 : 2);
      most = Math.max(most, state.getMap().size());
    }
    Timeline left = new Timeline(state, root, pages);
    for (long moment : new ArrayList<>(wanted.keySet())) {
      equal(left.next(Long.MIN_VALUE), moment);
      left.remove(moment);
      wanted.remove(moment);
    }
    equal(left.next(Long.MIN_VALUE), Timeline.NONE);
    equal(state.getMap().size(), 0L);
    equal(left.root().length, 1L);
  }

  private void change(Timeline line, int adds) throws Exception {
    for (int many = random.nextInt(4); many >= 0; many--) {
      long moment = moment();
      if (random.nextInt(10) < adds) {
        long about = random.nextInt(4) == 0 ? Long.MIN_VALUE + random.nextInt(3) : random.nextInt(60);
        add(line, moment, about, random.nextInt(3), random.nextInt(3) - 1, random.nextInt(100) - 50);
      } else {
        Long first = random.nextBoolean() ? wanted.ceilingKey(Long.MIN_VALUE) : wanted.ceilingKey(moment);
        line.remove(first == null ? moment : first);
        wanted.remove(first == null ? moment : first);
      }
      look(line, moment());
    }
    root = line.root();
    pages = line.pages();
  }

  /** Of a time that goes on, about now; else any. */
  private long moment() {
    if (!grows) {
      return random.nextInt(moments) - moments / 2;
    }
    clock += random.nextInt(50);
    return clock - random.nextInt(random.nextInt(20) == 0 ? 5_000 : 50);
  }

  private void add(Timeline line, long moment, long about, long count, long live, long units) throws Exception {
    TreeMap<Long, long[]> same = wanted.computeIfAbsent(moment, none -> new TreeMap<>());
    long[] sums = same.computeIfAbsent(about, none -> new long[3]);
    sums[0] += count;
    sums[1] += live;
    sums[2] += units;
    equal(line.add(moment, about, count, live, units), new Timeline.Entry(moment, about, sums[0], sums[1], sums[2]));
    if (sums[0] == 0 && sums[1] == 0) {
      same.remove(about);
    }
    if (same.isEmpty()) {
      wanted.remove(moment);
    }
  }

  private void look(Timeline line, long moment) throws Exception {
    Long next = wanted.ceilingKey(moment);
    equal(line.next(moment), next == null ? Timeline.NONE : next);
    Long previous = wanted.floorKey(moment);
    equal(line.previous(moment), previous == null ? Long.MIN_VALUE : previous);
    long there = next != null && random.nextBoolean() ? next : moment;
    List<Timeline.Entry> entries = new ArrayList<>();
    for (Map.Entry<Long, long[]> each : wanted.getOrDefault(there, new TreeMap<>()).entrySet()) {
      long[] sums = each.getValue();
      entries.add(new Timeline.Entry(there, each.getKey(), sums[0], sums[1], sums[2]));
    }
    equal(line.at(there), entries);
  }

  private static void equal(Object found, Object wanted) {
    if (!found.equals(wanted) && ((Number) found).longValue() != ((Number) wanted).longValue()) {
      throw new IllegalStateException(found + " instead of " + wanted);
    }
  }
}
