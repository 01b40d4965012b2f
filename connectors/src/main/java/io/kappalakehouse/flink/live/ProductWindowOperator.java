package io.kappalakehouse.flink.live;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
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
 * stay open for ever: the second time, the window may never open, and so never be withdrawn. So alerts leave only once
 * the checkpoint that holds the turn is complete. They stay in state until the next one, which the sink flushes for:
 * after a restore they leave again, the same to the letter, and the deduplication key tells.
 */
class ProductWindowOperator
    extends WriteBackOperator<Tuple2<String, Long>, ProductChange, WindowCounts, ProductWindow> {

  static final OutputTag<Alert> ALERTS = new OutputTag<>("alerts", Types.POJO(Alert.class));

  private static final long serialVersionUID = 1L;

  private transient ValueState<WindowCounts> counts;
  private transient ListState<Alert> undelivered;

  /** Turns since the last barrier. */
  private transient List<Alert> turns;

  /** Turns held by a checkpoint that is not known to be complete, by its id. */
  private transient TreeMap<Long, List<Alert>> inCheckpoint;

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    counts =
        context.getKeyedStateStore().getState(new ValueStateDescriptor<>("counts", Types.POJO(WindowCounts.class)));
    undelivered =
        context
            .getOperatorStateStore()
            .getListState(new ListStateDescriptor<>("undelivered-alerts", Types.POJO(Alert.class)));
    turns = new ArrayList<>();
    inCheckpoint = new TreeMap<>();
    if (context.isRestored()) {
      List<Alert> restored = new ArrayList<>();
      undelivered.get().forEach(restored::add);
      inCheckpoint.put(context.getRestoredCheckpointId().orElse(0), restored);
    }
  }

  @Override
  public void open() throws Exception {
    super.open();
    if (!inCheckpoint.isEmpty()) {
      // By timer: the operators after this one are open, but nothing may flow before all are.
      long restored = inCheckpoint.lastKey();
      getProcessingTimeService()
          .registerTimer(getProcessingTimeService().getCurrentProcessingTime(), time -> deliver(restored));
    }
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
    inCheckpoint.put(context.getCheckpointId(), turns);
    turns = new ArrayList<>();
    undelivered.update(inCheckpoint.values().stream().flatMap(List::stream).toList());
  }

  @Override
  public void notifyCheckpointComplete(long checkpointId) throws Exception {
    super.notifyCheckpointComplete(checkpointId);
    deliver(checkpointId);
  }

  private void deliver(long completedCheckpoint) {
    Map<Long, List<Alert>> complete = inCheckpoint.headMap(completedCheckpoint, true);
    complete.values().forEach(alerts -> alerts.forEach(a -> output.collect(ALERTS, new StreamRecord<>(a))));
    complete.clear();
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
    output.collect(new StreamRecord<>(ProductWindow.of(key.f0, key.f1, value)));
  }
}
