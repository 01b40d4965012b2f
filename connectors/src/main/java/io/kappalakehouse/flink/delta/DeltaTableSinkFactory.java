package io.kappalakehouse.flink.delta;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.RowType;

/** Connector {@code delta}; its options are called and mean what they do in Delta's own {@code delta-flink}. */
public final class DeltaTableSinkFactory implements DynamicTableSinkFactory {

  static final ConfigOption<String> TABLE_PATH =
      ConfigOptions.key("table_path")
          .stringType()
          .noDefaultValue()
          .withDescription("Where the table lies, for instance s3a://bucket/layer/table; made if nothing is there.");
  static final ConfigOption<String> PARTITIONS =
      ConfigOptions.key("partitions").stringType().defaultValue("").withDescription("Columns, separated by commas.");
  static final ConfigOption<String> UID =
      ConfigOptions.key("uid")
          .stringType()
          .noDefaultValue()
          .withDescription("Names the sink's state: a job that is changed finds it again by this.");
  static final ConfigOption<String> NAME =
      ConfigOptions.key("name").stringType().noDefaultValue().withDescription("Of the operator, in Flink's pages.");
  static final ConfigOption<Strategy> ROLLING =
      ConfigOptions.key("file_rolling.strategy")
          .enumType(Strategy.class)
          .defaultValue(Strategy.SIZE)
          .withDescription("When a file ends before its checkpoint does: at a 'size' or a 'count' of rows.");
  static final ConfigOption<Long> ROLLING_SIZE =
      ConfigOptions.key("file_rolling.size")
          .longType()
          .defaultValue(100L << 20)
          .withDescription("Bytes; negative: never.");
  static final ConfigOption<Integer> ROLLING_COUNT =
      ConfigOptions.key("file_rolling.count").intType().defaultValue(-1).withDescription("Rows; negative: never.");

  static final ConfigOption<String> SOURCE_BOOTSTRAP =
      ConfigOptions.key("source.bootstrap_servers")
          .stringType()
          .noDefaultValue()
          .withDescription("Of the Kafka whose topic the rows come from.");
  static final ConfigOption<String> SOURCE_TOPIC =
      ConfigOptions.key("source.topic").stringType().noDefaultValue().withDescription("The topic that rows come from.");
  static final ConfigOption<String> SOURCE_TOPIC_ID =
      ConfigOptions.key("source.topic_id")
          .stringType()
          .noDefaultValue()
          .withDescription("Its id: nothing is committed once the topic has another one, that is, was made anew.");

  /** What {@code file_rolling.strategy} may be. */
  public enum Strategy {
    SIZE,
    COUNT
  }

  @Override
  public String factoryIdentifier() {
    return "delta";
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Set.of(TABLE_PATH);
  }

  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    return Set.of(
        PARTITIONS,
        UID,
        NAME,
        ROLLING,
        ROLLING_SIZE,
        ROLLING_COUNT,
        SOURCE_BOOTSTRAP,
        SOURCE_TOPIC,
        SOURCE_TOPIC_ID,
        FactoryUtil.SINK_PARALLELISM);
  }

  @Override
  public DynamicTableSink createDynamicTableSink(Context context) {
    FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
    helper.validate();
    ReadableConfig options = helper.getOptions();
    ResolvedSchema schema = context.getCatalogTable().getResolvedSchema();
    List<String> computed = schema.getColumns().stream().filter(c -> !c.isPhysical()).map(Column::getName).toList();
    if (!computed.isEmpty()) {
      throw new ValidationException("a delta table stores all its columns; computed ones or metadata are " + computed);
    }
    List<String> partitions =
        Arrays.stream(options.get(PARTITIONS).split(",")).map(String::trim).filter(name -> !name.isEmpty()).toList();
    Columns columns = new Columns((RowType) schema.toPhysicalRowDataType().getLogicalType(), partitions);
    String path = options.get(TABLE_PATH);
    return new DeltaTableSink(
        new TargetTable(path, columns),
        rolling(options),
        source(options),
        options.getOptional(UID),
        options.getOptional(NAME).orElse("delta " + context.getObjectIdentifier().getObjectName()),
        options.getOptional(FactoryUtil.SINK_PARALLELISM));
  }

  private static Optional<SourceTopic> source(ReadableConfig options) {
    List<Optional<String>> said =
        Stream.of(SOURCE_BOOTSTRAP, SOURCE_TOPIC, SOURCE_TOPIC_ID).map(options::getOptional).toList();
    if (said.stream().allMatch(Optional::isEmpty)) {
      return Optional.empty();
    }
    if (said.stream().anyMatch(Optional::isEmpty)) {
      throw new ValidationException(
          "options 'source.bootstrap_servers', 'source.topic' and 'source.topic_id' belong together");
    }
    return Optional.of(new SourceTopic(said.get(0).get(), said.get(1).get(), said.get(2).get()));
  }

  private static Rolling rolling(ReadableConfig options) {
    boolean bySize = options.get(ROLLING) == Strategy.SIZE;
    long bytes = bySize ? options.get(ROLLING_SIZE) : -1;
    long rows = bySize ? -1 : options.get(ROLLING_COUNT);
    if (bytes == 0 || rows == 0) {
      throw new ValidationException("option 'file_rolling." + (bySize ? "size" : "count") + "' must not be 0");
    }
    return new Rolling(bytes < 0 ? Long.MAX_VALUE : bytes, rows < 0 ? Long.MAX_VALUE : rows);
  }
}
