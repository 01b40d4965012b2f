package io.kappalakehouse.flink.live;

import io.kappalakehouse.flink.Rules;

/** A user's current session, as it goes out. */
public class CurrentSession {

  private static final long MAX_EVENTS = Rules.number("sessions", "long_events");
  private static final long MAX_DURATION_MS = Rules.number("sessions", "long_ms");

  public String userId;
  public long seq;
  public long sessionStart;
  public long sessionEnd;
  public long impressions;
  public long clicks;
  public long events;
  public boolean anomalous;
  public String fingerprint;

  static CurrentSession of(String userId, UserSessions sessions) {
    Session session = sessions.current;
    CurrentSession row = new CurrentSession();
    row.userId = userId;
    row.seq = sessions.events;
    row.sessionStart = session.start;
    row.sessionEnd = session.end;
    row.impressions = session.impressions;
    row.clicks = session.clicks;
    row.events = session.impressions + session.clicks;
    row.anomalous = row.events > MAX_EVENTS || session.end - session.start > MAX_DURATION_MS;
    row.fingerprint = session.fingerprint.toString();
    return row;
  }
}
