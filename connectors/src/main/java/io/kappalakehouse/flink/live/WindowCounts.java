package io.kappalakehouse.flink.live;

/** One product's window of five minutes. */
public class WindowCounts {

  public static final long SIZE_MS = 5 * 60_000L;

  private static final long MIN_IMPRESSIONS = 20;

  public long impressions;
  public long clicks;
  public long conversions;
  public long revenueCents;
  public Fingerprint fingerprint = new Fingerprint();

  /** Changes applied; where no event was taken back, the events. */
  public long seq;

  /** What was last said of the window: its click-through rate is anomalous. */
  public boolean anomalous;

  static long start(long time) {
    return Math.floorDiv(time, SIZE_MS) * SIZE_MS;
  }

  long events() {
    return impressions + clicks + conversions;
  }

  void apply(ProductChange change) {
    seq++;
    switch (change.kind) {
      case LiveEvent.IMPRESSION -> impressions += change.sign;
      case LiveEvent.CLICK -> clicks += change.sign;
      default -> {
        conversions += change.sign;
        revenueCents += change.sign * change.amountCents;
      }
    }
    if (change.sign > 0) {
      fingerprint.add(change.recordHash);
    } else {
      fingerprint.remove(change.recordHash);
    }
  }

  boolean isAnomalous() {
    return impressions >= MIN_IMPRESSIONS && 2 * clicks > impressions;
  }
}
