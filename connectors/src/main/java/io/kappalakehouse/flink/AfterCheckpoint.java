package io.kappalakehouse.flink;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.Output;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.ProcessingTimeService;
import org.apache.flink.util.OutputTag;

/**
 * A side output whose records leave only once the checkpoint that holds them is complete: what was said then stays said,
 * whatever a restore computes anew.
 *
 * <p>They stay in state until the next checkpoint, which the sink flushes for: after a restore they leave again, the
 * same to the letter. Whoever reads them needs a deduplication key.
 *
 * <p>An operator calls each method from its own of the same name.
 */
public final class AfterCheckpoint<T> {

  private final OutputTag<T> tag;
  private final Output<?> output;
  private final ListState<T> undelivered;

  /** Records since the last barrier. */
  private List<T> latest = new ArrayList<>();

  /** Records held by a checkpoint that is not known to be complete, by its id. */
  private final TreeMap<Long, List<T>> inCheckpoint = new TreeMap<>();

  private AfterCheckpoint(OutputTag<T> tag, Output<?> output, ListState<T> undelivered) {
    this.tag = tag;
    this.output = output;
    this.undelivered = undelivered;
  }

  /**
   * With what the restored checkpoint held.
   *
   * @param name of the operator state
   */
  public static <T> AfterCheckpoint<T> initializeState(
      StateInitializationContext context, String name, OutputTag<T> tag, Output<?> output) throws Exception {
    ListState<T> state =
        context.getOperatorStateStore().getListState(new ListStateDescriptor<>(name, tag.getTypeInfo()));
    AfterCheckpoint<T> held = new AfterCheckpoint<>(tag, output, state);
    if (context.isRestored()) {
      List<T> restored = new ArrayList<>();
      state.get().forEach(restored::add);
      held.inCheckpoint.put(context.getRestoredCheckpointId().orElse(0), restored);
    }
    return held;
  }

  public void open(ProcessingTimeService time) {
    if (!inCheckpoint.isEmpty()) {
      // By timer: the operators after this one are open, but nothing may flow before all are.
      long restored = inCheckpoint.lastKey();
      time.registerTimer(time.getCurrentProcessingTime(), now -> notifyCheckpointComplete(restored));
    }
  }

  public void add(T record) {
    latest.add(record);
  }

  public void snapshotState(StateSnapshotContext context) throws Exception {
    inCheckpoint.put(context.getCheckpointId(), latest);
    latest = new ArrayList<>();
    undelivered.update(inCheckpoint.values().stream().flatMap(List::stream).toList());
  }

  public void notifyCheckpointComplete(long checkpointId) {
    Map<Long, List<T>> complete = inCheckpoint.headMap(checkpointId, true);
    complete.values().forEach(records -> records.forEach(r -> output.collect(tag, new StreamRecord<>(r))));
    complete.clear();
  }
}
