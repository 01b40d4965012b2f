package io.kappalakehouse.flink.delta;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.delta.kernel.Scan;
import io.delta.kernel.Snapshot;
import io.delta.kernel.TableManager;
import io.delta.kernel.data.FilteredColumnarBatch;
import io.delta.kernel.data.Row;
import io.delta.kernel.defaults.engine.DefaultEngine;
import io.delta.kernel.engine.Engine;
import io.delta.kernel.internal.InternalScanFileUtils;
import io.delta.kernel.internal.data.ScanStateRow;
import io.delta.kernel.internal.util.Utils;
import io.delta.kernel.utils.CloseableIterator;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.hadoop.conf.Configuration;

/** What lies in a local table: its log as it was written, and its rows as Kernel reads them. */
final class StoredTable {
  private static final Engine ENGINE = DefaultEngine.create(new Configuration());
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path path;

  StoredTable(Path path) {
    this.path = path;
  }

  Snapshot snapshot() {
    return TableManager.loadSnapshot(path.toString()).build(ENGINE);
  }

  /** All actions of this kind, in the log's order. */
  List<JsonNode> actions(String kind) throws IOException {
    List<JsonNode> found = new ArrayList<>();
    try (Stream<Path> files = Files.list(path.resolve("_delta_log"))) {
      for (Path commit : files.filter(f -> f.toString().endsWith(".json")).sorted().toList()) {
        for (String line : Files.readAllLines(commit)) {
          JsonNode action = JSON.readTree(line).get(kind);
          if (action != null) {
            found.add(action);
          }
        }
      }
    }
    return found;
  }

  /** The column's values in no order. */
  List<Long> longs(String column) throws IOException {
    Snapshot snapshot = snapshot();
    int position = snapshot.getSchema().indexOf(column);
    Scan scan = snapshot.getScanBuilder().build();
    Row state = scan.getScanState(ENGINE);
    List<Long> values = new ArrayList<>();
    try (CloseableIterator<FilteredColumnarBatch> batches = scan.getScanFiles(ENGINE)) {
      while (batches.hasNext()) {
        try (CloseableIterator<Row> files = batches.next().getRows()) {
          while (files.hasNext()) {
            read(state, files.next(), position, values);
          }
        }
      }
    }
    return values;
  }

  private static void read(Row state, Row file, int position, List<Long> values) throws IOException {
    var status = InternalScanFileUtils.getAddFileStatus(file);
    var schema = ScanStateRow.getPhysicalDataReadSchema(state);
    var batches =
        ENGINE
            .getParquetHandler()
            .readParquetFiles(Utils.singletonCloseableIterator(status), schema, Optional.empty())
            .map(result -> result.getData());
    try (var rows = Scan.transformPhysicalData(ENGINE, state, file, batches)) {
      while (rows.hasNext()) {
        try (CloseableIterator<Row> each = rows.next().getRows()) {
          each.forEachRemaining(row -> values.add(row.getLong(position)));
        }
      }
    }
  }
}
