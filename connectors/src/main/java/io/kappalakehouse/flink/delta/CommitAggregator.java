package io.kappalakehouse.flink.delta;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Admin;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.CommittableSummary;
import org.apache.flink.streaming.api.connector.sink2.CommittableWithLineage;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.util.TemporaryClassLoaderContext;

/**
 * Makes one {@link Commit} of all that the writers' subtasks send for a checkpoint; runs once, and so holds the one
 * application id that the sink's commits carry.
 *
 * <p>What belongs to a checkpoint is told by its barrier and not by counting: a subtask whose input has ended sends
 * nothing any more, and its last files come labelled with the checkpoint after its own last. Flink turns unaligned
 * checkpoints off between a sink's operators, so the barrier comes after all that was written before it.
 *
 * <p>The id lives in this operator's state. A job restored under another Flink id has the same, and its checkpoint
 * numbers go on: a commit repeated after the restore is recognised. New state draws a new one, since its checkpoint
 * numbers begin at 1 again, and under the old id would pass for repeats.
 */
final class CommitAggregator extends AbstractStreamOperator<CommittableMessage<Commit>>
    implements OneInputStreamOperator<CommittableMessage<String>, CommittableMessage<Commit>>, BoundedOneInput {

  private final TargetTable table;
  private final SourceTopics source;
  private transient Admin kafka;
  private transient ListState<String> state;
  private transient String appId;
  private transient long lastCheckpoint;
  private transient List<String> actions;
  private transient Positions positions;

  /**
   * With a {@code source} (or null) it commits only what was read while those topics were the same; with a reader a commit
   * says of which of its checkpoints it is.
   */
  CommitAggregator(TargetTable table, SourceTopics source) {
    this.table = table;
    this.source = source;
  }

  @Override
  public void open() throws Exception {
    super.open();
    if (source != null) {
      kafka = source.connect();
    }
  }

  @Override
  public void close() throws Exception {
    if (kafka != null) {
      kafka.close(Duration.ZERO);
    }
    super.close();
  }

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    actions = new ArrayList<>();
    positions = new Positions();
    state = context.getOperatorStateStore().getListState(new ListStateDescriptor<>("app-id", Types.STRING));
    OptionalLong restored = context.getRestoredCheckpointId();
    lastCheckpoint = restored.orElse(0);
    Iterator<String> kept = state.get().iterator();
    if (kept.hasNext()) {
      appId = kept.next();
      requireNoLaterCommit(table, appId, lastCheckpoint);
    } else {
      appId = "flink-" + UUID.randomUUID();
    }
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    state.update(List.of(appId));
  }

  @Override
  public void processElement(StreamRecord<CommittableMessage<String>> element) {
    if (element.getValue() instanceof CommittableWithLineage<String> action
        && !positions.take(action.getCommittable())) {
      actions.add(action.getCommittable());
    }
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpoint) throws Exception {
    send(checkpoint);
  }

  /** What came after the last barrier; the last checkpoint, if there is one, comes after this. */
  @Override
  public void endInput() throws Exception {
    send(lastCheckpoint + 1);
  }

  /** Nothing for a checkpoint without rows: an idle source makes no commits. */
  private void send(long checkpoint) throws Exception {
    lastCheckpoint = checkpoint;
    if (actions.isEmpty()) {
      return;
    }
    if (source != null) {
      source.check(kafka);
      if (source.reader() != null) {
        positions.reach("checkpoint/" + source.reader(), checkpoint);
      }
    }
    actions.addAll(positions.drain());
    Commit commit = new Commit(appId, checkpoint, List.copyOf(actions));
    actions.clear();
    output.collect(new StreamRecord<>(new CommittableSummary<>(0, 1, checkpoint, 1, 0)));
    output.collect(new StreamRecord<>(new CommittableWithLineage<>(commit, checkpoint, 0)));
  }

  /**
   * A job that was restored from before its last commits would write their rows again, under numbers that the table has
   * seen: they would be taken for repeats, and what is new among them lost.
   */
  private static void requireNoLaterCommit(TargetTable table, String appId, long restored) {
    Optional<Long> committed;
    try (TemporaryClassLoaderContext lasting = TargetTable.lastingClassLoader()) {
      committed = table.open().getLatestTransactionVersion(table.engine(), appId);
    }
    if (committed.isPresent() && committed.get() > restored) {
      throw new IllegalStateException(
          ("the job was restored from checkpoint %d, but %s holds its commit of checkpoint %d: restore the newest"
                  + " checkpoint or savepoint, or start without state on a table restored to before that commit")
              .formatted(restored, table.path(), committed.get()));
    }
  }
}
