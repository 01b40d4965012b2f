package io.kappalakehouse.flink.live;

import io.kappalakehouse.flink.AfterCheckpoint;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.util.OutputTag;

/**
 * By product and window: the counts, and each turn of the anomaly, looked for at every event.
 *
 * <p>Emits windows, and alerts to {@link #ALERTS}. Which turns a window takes depends on how its users' events
 * interleave, and after a restore they interleave anew. An alert that left before its checkpoint was complete could then
 * stay open for ever: the second time, the window may never open, and so never be withdrawn. So alerts leave
 * {@link AfterCheckpoint}.
 *
 * <p>How many changes a window takes depends on that order too: copies of an event that come from the lowest position
 * upwards are one change, the other way round they are several. So a window's sequence begins above all that was sent
 * before the restored checkpoint was complete: what was sent after it, in another order, is replaced.
 */
class ProductWindowOperator
    extends WriteBackOperator<Tuple2<String, Long>, ProductChange, WindowCounts, ProductWindow> {

  static final OutputTag<Alert> ALERTS = new OutputTag<>("alerts", Types.POJO(Alert.class));

  private static final long serialVersionUID = 1L;

  /** So many changes of one window may come between two restores that no checkpoint lies between. */
  private static final int CHANGES_BITS = 26;

  private transient ValueState<WindowCounts> counts;
  private transient AfterCheckpoint<Alert> turns;

  /** What sequences begin at. */
  private transient long since;

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    counts =
        context.getKeyedStateStore().getState(new ValueStateDescriptor<>("counts", Types.POJO(WindowCounts.class)));
    turns = AfterCheckpoint.initializeState(context, "undelivered-alerts", ALERTS, output);
    since = context.getRestoredCheckpointId().orElse(0) << CHANGES_BITS;
  }

  @Override
  public void open() throws Exception {
    super.open();
    turns.open(getProcessingTimeService());
  }

  @Override
  protected void process(ProductChange change) throws Exception {
    WindowCounts window = touch();
    window.apply(change);
    if (window.isAnomalous() != window.anomalous) {
      window.anomalous = !window.anomalous;
      turns.add(Alert.of(change.productId, change.windowStart, window));
    }
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    turns.snapshotState(context);
  }

  @Override
  public void notifyCheckpointComplete(long checkpointId) throws Exception {
    super.notifyCheckpointComplete(checkpointId);
    turns.notifyCheckpointComplete(checkpointId);
  }

  @Override
  protected WindowCounts load() throws Exception {
    WindowCounts value = counts.value();
    return value == null ? new WindowCounts() : value;
  }

  @Override
  protected void store(WindowCounts value) throws Exception {
    counts.update(value);
  }

  @Override
  protected void emit(Tuple2<String, Long> key, WindowCounts value) {
    output.collect(new StreamRecord<>(ProductWindow.of(key.f0, key.f1, value, since)));
  }
}
