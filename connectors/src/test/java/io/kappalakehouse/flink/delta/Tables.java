package io.kappalakehouse.flink.delta;

import io.delta.kernel.expressions.Literal;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;

/** A table {@code (id BIGINT NOT NULL, region STRING)}, partitioned by region. */
final class Tables {
  static final RowType ROW =
      RowType.of(
          new LogicalType[] {new BigIntType(false), new VarCharType(VarCharType.MAX_LENGTH)},
          new String[] {"id", "region"});

  private Tables() {}

  static TargetTable at(Path path) {
    return new TargetTable(path.toString(), new Columns(ROW, List.of("region")));
  }

  /** Writes one file of these ids and returns its {@code add} action. */
  static String file(TargetTable table, long... ids) throws IOException {
    var engine = table.engine();
    var state = TargetTable.append(table.open()).build(engine).getTransactionState(engine);
    DataFile file = new DataFile(table, state, Map.of("region", Literal.ofString("north")));
    for (long id : ids) {
      file.write(GenericRowData.of(id, StringData.fromString("north")));
    }
    return file.close();
  }
}
