package io.kappalakehouse.flink.live;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.state.MapState;

/**
 * What is kept of one user besides the events seen: the current session, ready at hand, and how many events there were.
 * The earlier sessions lie in a map of their own that is read for late events only.
 */
public class UserSessions {

  /** The session with the latest first event; null before the first event. */
  public Session current;

  /** Events of the user that count: impressions and clicks of all sessions. */
  public long events;

  /**
   * Counts an event in, in whatever order events come.
   *
   * <p>An event at or after the current session's start touches no earlier one: each of those ends {@link
   * Session#GAP_MS} or more before that start. An event before it may touch one on either side, and joins them.
   */
  void add(long time, LiveEvent.Counted event, MapState<Long, Session> earlier) throws Exception {
    events++;
    Session session = Session.of(time, event);
    if (current == null) {
      current = session;
    } else if (time >= current.start) {
      if (current.touches(time)) {
        current.absorb(session);
      } else {
        earlier.put(current.start, current);
        current = session;
      }
    } else {
      List<Session> touched = new ArrayList<>(2);
      for (Session each : earlier.values()) {
        if (each.touches(time)) {
          touched.add(each);
        }
      }
      for (Session each : touched) {
        earlier.remove(each.start);
        session.absorb(each);
      }
      if (current.touches(time)) {
        session.absorb(current);
        current = session;
      } else {
        earlier.put(session.start, session);
      }
    }
  }

  /** Replaces a copy of an event by one that says something else; both have the same time. */
  void replace(long time, LiveEvent.Counted old, LiveEvent.Counted event, MapState<Long, Session> earlier)
      throws Exception {
    if (current.contains(time)) {
      current.replace(old, event);
      return;
    }
    for (Session each : earlier.values()) {
      if (each.contains(time)) {
        each.replace(old, event);
        earlier.put(each.start, each);
        return;
      }
    }
    throw new IllegalStateException("no session holds an event that was counted, at " + time);
  }
}
