package io.kappalakehouse.flink.delta;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DeltaCommitterTest {
  @TempDir Path path;

  private TargetTable table;
  private StoredTable stored;
  private DeltaCommitter committer;

  @BeforeEach
  void create() {
    table = Tables.at(path);
    stored = new StoredTable(path);
    committer = new DeltaCommitter(table);
    table.open();
  }

  @Test
  void aCheckpointsFilesAreOneCommitThatCarriesItsNumber() throws Exception {
    assertTrue(committer.commit(commit("app", 7, Tables.file(table, 1, 2), Tables.file(table, 3))));
    assertEquals(1, stored.snapshot().getVersion());
    assertEquals(List.of(1L, 2L, 3L), stored.longs("id").stream().sorted().toList());
    JsonNode txn = stored.actions("txn").get(0);
    assertEquals("app", txn.get("appId").asText());
    assertEquals(7, txn.get("version").asLong());
  }

  @Test
  void aCommitSaysHowFarItsRowsGoAlsoInACheckpointOfTheLog() throws Exception {
    Positions positions = new Positions();
    positions.reach("read/shop.clicks@Zm9v+/3", 42);
    committer.commit(commit("app", 1, Tables.file(table, 1), positions.drain().get(0)));
    for (int checkpoint = 2; checkpoint <= 10; checkpoint++) {
      committer.commit(commit("app", checkpoint, Tables.file(table, checkpoint)));
    }
    Files.delete(path.resolve("_delta_log/00000000000000000001.json"));
    assertEquals(
        Optional.of(42L), stored.snapshot().getLatestTransactionVersion(table.engine(), "read/shop.clicks@Zm9v+/3"));
    assertEquals(10, stored.longs("id").size());
  }

  @Test
  void aRepeatedCommitDoesNothing() throws Exception {
    Commit commit = commit("app", 7, Tables.file(table, 1));
    committer.commit(commit);
    assertFalse(new DeltaCommitter(table).commit(commit));
    assertEquals(1, stored.snapshot().getVersion());
  }

  @Test
  void aCommitThatComesAfterALaterOneDoesNothing() throws Exception {
    Commit late = commit("app", 7, Tables.file(table, 1));
    committer.commit(late);
    committer.commit(commit("app", 8, Tables.file(table, 2)));
    assertFalse(committer.commit(late));
    assertEquals(List.of(1L, 2L), stored.longs("id").stream().sorted().toList());
  }

  @Test
  void anotherSinksNumbersDoNotCount() throws Exception {
    committer.commit(commit("other", 9, Tables.file(table, 1)));
    assertTrue(committer.commit(commit("app", 1, Tables.file(table, 2))));
  }

  @Test
  void anOlderSelfThatCommitsTheSameAtTheSameTimeDoublesNothing() throws Exception {
    Commit commit = commit("app", 7, Tables.file(table, 1));
    List<Boolean> written = atOnce(List.of(() -> committer.commit(commit), () -> new DeltaCommitter(table).commit(commit)));
    assertEquals(1, written.stream().filter(first -> first).count());
    assertEquals(List.of(1L), stored.longs("id"));
  }

  @Test
  void writersAtTheSameTimeAllGetTheirVersions() throws Exception {
    List<Callable<Boolean>> writers = new ArrayList<>();
    for (int writer = 0; writer < 4; writer++) {
      String app = "app-" + writer;
      writers.add(
          () -> {
            for (int checkpoint = 1; checkpoint <= 5; checkpoint++) {
              new DeltaCommitter(table).commit(commit(app, checkpoint, Tables.file(table, checkpoint)));
            }
            return true;
          });
    }
    atOnce(writers);
    assertEquals(20, stored.snapshot().getVersion());
    assertEquals(20, stored.longs("id").size());
    assertTrue(Files.exists(path.resolve("_delta_log/00000000000000000010.checkpoint.parquet")));
  }

  @Test
  void filesTellReadersWhatTheyNeedNotRead() throws IOException, InterruptedException {
    committer.commit(commit("app", 1, Tables.file(table, 5, 3, 4)));
    JsonNode add = stored.actions("add").get(0);
    assertEquals("north", add.get("partitionValues").get("region").asText());
    assertEquals(
        "{\"numRecords\":3,\"minValues\":{\"id\":3},\"maxValues\":{\"id\":5},\"nullCount\":{\"id\":0}}",
        add.get("stats").asText());
  }

  @Test
  void aCommitOfFilesThatVacuumHasRemovedIsRefusedWithTheirNames() throws Exception {
    String kept = Tables.file(table, 1);
    String removed = Tables.file(table, 2);
    Files.delete(path.resolve(name(removed)));
    Commit commit = commit("app", 7, kept, removed);
    IOException refused = assertThrows(IOException.class, () -> committer.commit(commit));
    String said = refused.getMessage();
    assertTrue(said.startsWith("1 of 2 files of checkpoint 7, written from "), said);
    assertTrue(said.contains("are gone from " + path + ": " + name(removed) + ". What is in no version"), said);
    assertTrue(said.contains("for 168 h") && said.contains("restore an earlier checkpoint"), said);
    assertEquals(0, stored.snapshot().getVersion());
  }

  @Test
  void aRepeatedCommitDoesNothingThoughItsFilesHaveLeftTheTable() throws Exception {
    String action = Tables.file(table, 1);
    committer.commit(commit("app", 7, action));
    Files.delete(path.resolve(name(action)));
    assertFalse(new DeltaCommitter(table).commit(commit("app", 7, action)));
  }

  /** Vacuum may take it in the very moment of the commit; its copy is as good, and new. */
  @Test
  void aCommitOfOldFilesNamesCopiesOfThem() throws Exception {
    String old = writtenAt(System.currentTimeMillis() - Duration.ofDays(30).toMillis(), Tables.file(table, 1, 2));
    assertTrue(committer.commit(commit("app", 7, old, Tables.file(table, 3))));
    Files.delete(path.resolve(name(old)));
    assertEquals(List.of(1L, 2L, 3L), stored.longs("id").stream().sorted().toList());
  }

  @Test
  void anOldFileThatIsGoneIsRefusedToo() throws Exception {
    String old = writtenAt(0, Tables.file(table, 1));
    Files.delete(path.resolve(name(old)));
    IOException refused = assertThrows(IOException.class, () -> committer.commit(commit("app", 7, old)));
    assertTrue(refused.getMessage().contains("written from 1970-01-01T00:00:00Z on"), refused.getMessage());
  }

  private static String writtenAt(long time, String action) throws IOException {
    JsonNode tree = new ObjectMapper().readTree(action);
    ((ObjectNode) tree.get("add")).put("modificationTime", time);
    return tree.toString();
  }

  /** The path that an {@code add} action names. */
  private static String name(String action) throws IOException {
    return new ObjectMapper().readTree(action).get("add").get("path").asText();
  }

  private static Commit commit(String app, long checkpoint, String... actions) {
    return new Commit(app, checkpoint, List.of(actions));
  }

  private static <T> List<T> atOnce(List<Callable<T>> tasks) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(tasks.size());
    try {
      List<T> results = new ArrayList<>();
      for (Future<T> result : threads.invokeAll(tasks)) {
        results.add(result.get());
      }
      return results;
    } finally {
      threads.shutdownNow();
    }
  }
}
