package io.kappalakehouse.flink.live;

import io.kappalakehouse.flink.Rules;

/** A stretch of one user's events without a pause of {@link #GAP_MS} or more. */
public class Session {

  public static final long GAP_MS = Rules.number("sessions", "gap_ms");

  /** Event time of the first event, epoch milliseconds. */
  public long start;

  /** Event time of the last event. */
  public long end;

  public long impressions;
  public long clicks;
  public Fingerprint fingerprint = new Fingerprint();

  static Session of(long time, LiveEvent.Counted event) {
    Session session = new Session();
    session.start = time;
    session.end = time;
    session.count(event, 1);
    return session;
  }

  boolean touches(long time) {
    return time - end < GAP_MS && start - time < GAP_MS;
  }

  boolean contains(long time) {
    return start <= time && time <= end;
  }

  void absorb(Session other) {
    start = Math.min(start, other.start);
    end = Math.max(end, other.end);
    impressions += other.impressions;
    clicks += other.clicks;
    fingerprint.add(other.fingerprint);
  }

  void replace(LiveEvent.Counted old, LiveEvent.Counted event) {
    count(old, -1);
    count(event, 1);
  }

  private void count(LiveEvent.Counted event, int sign) {
    if (event.kind == LiveEvent.CLICK) {
      clicks += sign;
    } else {
      impressions += sign;
    }
    if (sign > 0) {
      fingerprint.add(event.recordHash);
    } else {
      fingerprint.remove(event.recordHash);
    }
  }
}
