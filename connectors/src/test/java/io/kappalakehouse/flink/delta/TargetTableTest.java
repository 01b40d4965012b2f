package io.kappalakehouse.flink.delta;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TargetTableTest {
  @TempDir Path path;

  @Test
  void aTableIsCreatedInTheProfileWithoutFeatures() throws IOException {
    table(List.of("region"), field("id", DataTypes.BIGINT().notNull()), field("region", DataTypes.STRING())).open();
    StoredTable stored = new StoredTable(path);
    JsonNode protocol = stored.actions("protocol").get(0);
    assertEquals("{\"minReaderVersion\":1,\"minWriterVersion\":2}", protocol.toString());
    assertEquals("[\"region\"]", stored.actions("metaData").get(0).get("partitionColumns").toString());
    assertFalse(stored.snapshot().getSchema().get("id").isNullable());
    assertTrue(stored.snapshot().getSchema().get("region").isNullable());
  }

  @Test
  void checkingCreatesNothing() {
    table(List.of(), field("id", DataTypes.BIGINT())).check();
    assertEquals(0, path.toFile().list().length);
  }

  @Test
  void aSchemaThatDoesNotFitIsRefusedWithEachDifference() {
    table(
            List.of("region"),
            field("id", DataTypes.BIGINT().notNull()),
            field("region", DataTypes.STRING()),
            field("amount", DataTypes.BIGINT()),
            field("day", DataTypes.DATE().notNull()))
        .open();
    TargetTable other =
        table(
            List.of(),
            field("id", DataTypes.BIGINT()),
            field("region", DataTypes.STRING()),
            field("amount", DataTypes.STRING()),
            field("colour", DataTypes.STRING()));
    assertEquals(
        "the rows do not fit table " + path + ": its column id may not be null: declare it NOT NULL;"
            + " its column amount is long, not string; it has no column colour;"
            + " its column day may not be null, and is not written; it is partitioned by [region], not by []",
        assertThrows(ValidationException.class, other::check).getMessage());
  }

  @Test
  void aNullableColumnThatTheTableHasBeyondOursIsLeftNull() {
    table(List.of(), field("id", DataTypes.BIGINT()), field("later", DataTypes.STRING())).open();
    table(List.of(), field("id", DataTypes.BIGINT())).check();
  }

  @ParameterizedTest
  @ValueSource(strings = {"{\"minReaderVersion\":1,\"minWriterVersion\":4}", "{\"minReaderVersion\":9,\"minWriterVersion\":9}"})
  void aTableOfANewerProtocolIsRefused(String protocol) throws IOException {
    TargetTable table = table(List.of(), field("id", DataTypes.BIGINT()));
    table.open();
    Files.writeString(
        path.resolve("_delta_log/00000000000000000001.json"), "{\"protocol\":" + protocol + "}\n");
    String message = assertThrows(ValidationException.class, table::check).getMessage();
    assertTrue(message.contains(path.toString()) && message.contains("version"), message);
  }

  @Test
  void filesThatAreNoDeltaTableAreLeftAlone() throws IOException {
    Files.writeString(path.resolve("part.parquet"), "x");
    TargetTable table = table(List.of(), field("id", DataTypes.BIGINT()));
    String message = assertThrows(ValidationException.class, table::open).getMessage();
    assertTrue(message.startsWith("there are files at " + path + ", but no Delta table"), message);
  }

  @Test
  void typesBeyondTheProfileAreRefusedByName() {
    String message =
        assertThrows(ValidationException.class, () -> table(List.of(), field("at", DataTypes.TIMESTAMP(3)))).getMessage();
    assertTrue(message.startsWith("column at is a TIMESTAMP(3)"), message);
    message =
        assertThrows(ValidationException.class, () -> table(List.of(), field("tags", DataTypes.ARRAY(DataTypes.INT()))))
            .getMessage();
    assertTrue(message.startsWith("column tags is a ARRAY<INT>"), message);
  }

  @Test
  void aPartitionThatIsNoColumnIsRefused() {
    assertThrows(ValidationException.class, () -> table(List.of("day"), field("id", DataTypes.BIGINT())));
  }

  private TargetTable table(List<String> partitions, DataTypes.Field... fields) {
    DataType row = DataTypes.ROW(fields);
    return new TargetTable(path.toString(), new Columns((RowType) row.getLogicalType(), partitions));
  }

  private static DataTypes.Field field(String name, DataType type) {
    return DataTypes.FIELD(name, type);
  }
}
