package io.kappalakehouse.flink.delta;

import static io.kappalakehouse.delta.FaultyS3.Fault.INTERNAL_ERROR;
import static io.kappalakehouse.delta.FaultyS3.Fault.LOST;
import static io.kappalakehouse.delta.FaultyS3.Fault.SLOW_DOWN;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kappalakehouse.delta.FaultyS3;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class DeltaOnS3Test {
  private static final String LOG = "/lake/table/_delta_log/0000000000000000000";

  private FaultyS3 s3;
  private TargetTable table;
  private DeltaCommitter committer;
  private Commit commit;

  @BeforeEach
  void create() throws IOException {
    s3 = new FaultyS3();
    table = new TargetTable("s3a://lake/table", new Columns(Tables.ROW, List.of("region")), s3.configuration());
    committer = new DeltaCommitter(table);
    table.open();
    commit = new Commit("app", 1, List.of(Tables.file(table, 1)));
  }

  @AfterEach
  void stop() {
    s3.close();
  }

  @Test
  void aCommitWhoseAnswerIsLostIsMadeOnce() throws Exception {
    s3.willShow(LOST);
    assertTrue(committer.commit(commit));
    assertEquals(1, commits());
  }

  @Test
  void aCommitOfWhichNobodyKnowsWhetherItWasMadeIsAnErrorAndItsRepeatDoesNothing() throws Exception {
    s3.willShow(LOST);
    s3.thenFallsSilent();
    assertThrows(IOException.class, () -> committer.commit(commit));
    s3.answersAgain();
    assertFalse(new DeltaCommitter(table).commit(commit));
    assertEquals(1, commits());
  }

  @Test
  void aStoreThatFailsForAWhileIsTriedAgain() throws Exception {
    s3.willShow(INTERNAL_ERROR, SLOW_DOWN);
    assertTrue(committer.commit(commit));
    s3.willShow(SLOW_DOWN, INTERNAL_ERROR);
    assertTrue(committer.commit(new Commit("app", 2, List.of(Tables.file(table, 2)))));
    assertEquals(2, commits());
  }

  @Test
  void aStoreThatFailsForLongIsAnErrorAndNothingIsInTheLogUntilTheRepeat() throws Exception {
    s3.willShow(Collections.nCopies(16, INTERNAL_ERROR).toArray(FaultyS3.Fault[]::new));
    IOException error = assertThrows(IOException.class, () -> committer.commit(commit));
    assertEquals("checkpoint 1 could not be committed to s3a://lake/table", error.getMessage());
    assertEquals(0, commits());
    s3.forgetFaults();
    assertTrue(committer.commit(commit));
  }

  @Test
  void aDataFileThatTheStoreDoesNotTakeIsAnError() {
    s3.willShow(Collections.nCopies(16, SLOW_DOWN).toArray(FaultyS3.Fault[]::new));
    assertThrows(IOException.class, () -> Tables.file(table, 2));
    assertEquals(0, commits());
  }

  @Test
  void aCommitOfAFileThatIsGoneIsRefused() {
    s3.objects.keySet().removeIf(key -> key.endsWith(".parquet"));
    IOException refused = assertThrows(IOException.class, () -> committer.commit(commit));
    assertTrue(refused.getMessage().contains("files of checkpoint 1, written from"), refused.getMessage());
    assertEquals(0, commits());
  }

  /** Versions after the one that created the table. */
  private long commits() {
    return s3.objects.keySet().stream().filter(key -> key.startsWith(LOG) && key.endsWith(".json")).count() - 1;
  }
}
