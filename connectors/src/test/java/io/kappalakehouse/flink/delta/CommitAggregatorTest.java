package io.kappalakehouse.flink.delta;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.CommittableSummary;
import org.apache.flink.streaming.api.connector.sink2.CommittableWithLineage;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CommitAggregatorTest {
  @TempDir Path path;

  @Test
  void allSubtasksFilesOfACheckpointAreOneCommit() throws Exception {
    try (var harness = started(null, 0)) {
      send(harness, 0, 3, "a", "b");
      send(harness, 1, 3, "c");
      checkpoint(harness, 3);
      Commit commit = commits(harness).get(0);
      assertEquals(3, commit.checkpoint());
      assertEquals(List.of("a", "b", "c"), commit.actions());
      assertEquals(1, commits(harness).size());
    }
  }

  @Test
  void aCheckpointWithoutRowsHasNoCommit() throws Exception {
    try (var harness = started(null, 0)) {
      send(harness, 0, 1);
      send(harness, 1, 1);
      checkpoint(harness, 1);
      assertEquals(List.of(), harness.extractOutputValues());
    }
  }

  @Test
  void aSubtaskWhoseInputHasEndedIsNotWaitedFor() throws Exception {
    try (var harness = started(null, 0)) {
      send(harness, 0, 1, "last of 0");
      send(harness, 1, 1, "a");
      checkpoint(harness, 1);
      send(harness, 1, 2, "b");
      checkpoint(harness, 2);
      assertEquals(List.of(List.of("last of 0", "a"), List.of("b")), commits(harness).stream().map(Commit::actions).toList());
    }
  }

  @Test
  void whatComesAfterTheLastBarrierIsCommittedByTheFinalCheckpoint() throws Exception {
    try (var harness = started(null, 0)) {
      send(harness, 0, 1, "a");
      checkpoint(harness, 1);
      send(harness, 0, 2, "b");
      harness.endInput();
      checkpoint(harness, 2);
      assertEquals(List.of(1L, 2L), commits(harness).stream().map(Commit::checkpoint).toList());
    }
  }

  @Test
  void aCommitSaysHowFarTheFurthestSubtaskHasReadEachPartition() throws Exception {
    try (var harness = started(null, 0)) {
      send(harness, 0, 3, "a", position("read/t@id/0", 7), position("read/t@id/1", 9));
      send(harness, 1, 3, "b", position("read/t@id/1", 8));
      checkpoint(harness, 3);
      send(harness, 0, 4, "c", position("read/t@id/0", 8));
      checkpoint(harness, 4);
      assertEquals(
          List.of(
              List.of("a", "b", position("read/t@id/0", 7), position("read/t@id/1", 9)),
              List.of("c", position("read/t@id/0", 8))),
          commits(harness).stream().map(Commit::actions).toList());
    }
  }

  @Test
  void aRestoredJobKeepsItsApplicationId() throws Exception {
    OperatorSubtaskState state;
    String before;
    try (var harness = started(null, 0)) {
      state = checkpoint(harness, 1);
      before = appId(harness, 2);
    }
    try (var harness = started(state, 1)) {
      assertEquals(before, appId(harness, 2));
    }
  }

  @Test
  void newStateWhoseCheckpointsBeginAtOneAgainHasANewApplicationIdAndIsNotTakenForARepeat() throws Exception {
    DeltaCommitter committer = new DeltaCommitter(Tables.at(path));
    String first;
    try (var harness = started(null, 0)) {
      send(harness, 0, 1, Tables.file(Tables.at(path), 1));
      checkpoint(harness, 1);
      first = commits(harness).get(0).appId();
      assertTrue(committer.commit(commits(harness).get(0)));
    }
    try (var harness = started(null, 0)) {
      send(harness, 0, 1, Tables.file(Tables.at(path), 2));
      checkpoint(harness, 1);
      assertNotEquals(first, commits(harness).get(0).appId());
      assertTrue(committer.commit(commits(harness).get(0)));
    }
    assertEquals(List.of(1L, 2L), new StoredTable(path).longs("id").stream().sorted().toList());
  }

  @Test
  void aJobRestoredFromBeforeItsLastCommitIsRefused() throws Exception {
    TargetTable table = Tables.at(path);
    OperatorSubtaskState state;
    try (var harness = started(null, 0)) {
      state = checkpoint(harness, 1);
      send(harness, 0, 2, Tables.file(table, 1));
      checkpoint(harness, 2);
      new DeltaCommitter(table).commit(commits(harness).get(0));
    }
    IllegalStateException refused = assertThrows(IllegalStateException.class, () -> started(state, 1));
    assertTrue(refused.getMessage().startsWith("the job was restored from checkpoint 1, but " + path), refused.getMessage());
  }

  private OneInputStreamOperatorTestHarness<CommittableMessage<String>, CommittableMessage<Commit>> started(
      OperatorSubtaskState state, long checkpoint) throws Exception {
    var harness = new OneInputStreamOperatorTestHarness<>(new CommitAggregator(Tables.at(path), null));
    harness.setup();
    if (state != null) {
      harness.setRestoredCheckpointId(checkpoint);
      harness.initializeState(state);
    }
    harness.open();
    return harness;
  }

  private static String appId(
      OneInputStreamOperatorTestHarness<CommittableMessage<String>, CommittableMessage<Commit>> harness, long checkpoint)
      throws Exception {
    send(harness, 0, checkpoint, "a");
    checkpoint(harness, checkpoint);
    return commits(harness).get(0).appId();
  }

  private static OperatorSubtaskState checkpoint(OneInputStreamOperatorTestHarness<?, ?> harness, long checkpoint)
      throws Exception {
    harness.prepareSnapshotPreBarrier(checkpoint);
    return harness.snapshot(checkpoint, 0);
  }

  /** As a writer's subtask sends it, of two. */
  private static void send(
      OneInputStreamOperatorTestHarness<CommittableMessage<String>, ?> harness,
      int subtask,
      long checkpoint,
      String... actions)
      throws Exception {
    harness.processElement(
        new StreamRecord<>(new CommittableSummary<>(subtask, 2, checkpoint, actions.length, 0)));
    for (String action : actions) {
      harness.processElement(new StreamRecord<>(new CommittableWithLineage<>(action, checkpoint, subtask)));
    }
  }

  private static String position(String name, long number) {
    Positions positions = new Positions();
    positions.reach(name, number);
    return positions.drain().get(0);
  }

  private static List<Commit> commits(OneInputStreamOperatorTestHarness<?, CommittableMessage<Commit>> harness) {
    return harness.extractOutputValues().stream()
        .filter(CommittableWithLineage.class::isInstance)
        .map(message -> ((CommittableWithLineage<Commit>) message).getCommittable())
        .toList();
  }
}
