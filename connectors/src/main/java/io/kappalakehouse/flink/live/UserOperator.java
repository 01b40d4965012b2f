package io.kappalakehouse.flink.live;

import io.kappalakehouse.flink.live.LiveEvent.Counted;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.util.OutputTag;

/**
 * By user: each event counts once, and the current session is kept.
 *
 * <p>Of an event's copies the lowest (partition, offset) counts. A key lives in one partition, whose records come in
 * offset order, so the first copy is the one; where a foreign producer spread a key over partitions, a lower copy takes
 * back what a higher one did.
 *
 * <p>Emits the changes to products' windows, and sessions to {@link #SESSIONS}.
 */
class UserOperator extends WriteBackOperator<String, LiveEvent, UserSessions, ProductChange> {

  static final OutputTag<CurrentSession> SESSIONS = new OutputTag<>("sessions", Types.POJO(CurrentSession.class));

  private static final long serialVersionUID = 1L;

  private transient MapState<String, Counted> seen;
  private transient ValueState<UserSessions> sessions;
  private transient MapState<Long, Session> earlierSessions;

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    var states = context.getKeyedStateStore();
    seen = states.getMapState(new MapStateDescriptor<>("seen", Types.STRING, Types.POJO(Counted.class)));
    sessions = states.getState(new ValueStateDescriptor<>("sessions", Types.POJO(UserSessions.class)));
    earlierSessions =
        states.getMapState(new MapStateDescriptor<>("earlier-sessions", Types.LONG, Types.POJO(Session.class)));
  }

  @Override
  protected void process(LiveEvent event) throws Exception {
    String identity = event.identity();
    Counted copy = event.counted();
    Counted counted = seen.get(identity);
    if (counted != null && !copy.isBefore(counted)) {
      return;
    }
    seen.put(identity, copy);
    if (counted != null) {
      change(event.eventTime, counted, -1);
    }
    change(event.eventTime, copy, 1);
    if (event.kind == LiveEvent.PURCHASE) {
      return;
    }
    if (counted == null) {
      touch().add(event.eventTime, copy, earlierSessions);
    } else {
      touch().replace(event.eventTime, counted, copy, earlierSessions);
    }
  }

  private void change(long time, Counted event, int sign) {
    if (event.productId != null) {
      output.collect(new StreamRecord<>(ProductChange.of(event, WindowCounts.start(time), sign)));
    }
  }

  @Override
  protected UserSessions load() throws Exception {
    UserSessions value = sessions.value();
    return value == null ? new UserSessions() : value;
  }

  @Override
  protected void store(UserSessions value) throws Exception {
    sessions.update(value);
  }

  @Override
  protected void emit(String userId, UserSessions value) {
    output.collect(SESSIONS, new StreamRecord<>(CurrentSession.of(userId, value)));
  }
}
