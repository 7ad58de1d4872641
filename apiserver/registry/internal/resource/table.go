package resource

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apiserver/pkg/registry/rest"
)

// None stands in a cell for what is absent, so that columns stay columns to
// programs that cut at white space.
const None = "<none>"

// Wide is the priority of the columns that only wide output shows.
const Wide = 1

// Column is one column of a kind's table.
type Column[T any] struct {
	Name        string
	Description string
	Priority    int32
	// Cell returns the column's text for an object. Empty is shown as None.
	Cell func(*T) string
}

// objectPointer is a pointer to an API type.
type objectPointer[T any] interface {
	*T
	runtime.Object
}

type table[T any, P objectPointer[T]] struct {
	columns  []Column[T]
	fallback rest.TableConvertor
}

// NewTable returns a convertor of objects and lists of type T. The name is always
// the first column.
func NewTable[T any, P objectPointer[T]](resource schema.GroupResource, columns []Column[T]) rest.TableConvertor {
	return table[T, P]{columns: columns, fallback: rest.NewDefaultTableConvertor(resource)}
}

// ConvertToTable implements rest.TableConvertor.
func (t table[T, P]) ConvertToTable(ctx context.Context, object runtime.Object, options runtime.Object) (*metav1.Table, error) {
	result := &metav1.Table{}
	if meta.IsListType(object) {
		list, err := meta.ListAccessor(object)
		if err != nil {
			return nil, err
		}
		result.ResourceVersion = list.GetResourceVersion()
		result.Continue = list.GetContinue()
		result.RemainingItemCount = list.GetRemainingItemCount()
		if err := meta.EachListItem(object, func(item runtime.Object) error { return t.addRow(result, item) }); err != nil {
			return nil, err
		}
	} else {
		if _, ok := object.(P); !ok {
			return t.fallback.ConvertToTable(ctx, object, options)
		}
		if err := t.addRow(result, object); err != nil {
			return nil, err
		}
		single, err := meta.CommonAccessor(object)
		if err != nil {
			return nil, err
		}
		result.ResourceVersion = single.GetResourceVersion()
	}
	if given, ok := options.(*metav1.TableOptions); !ok || !given.NoHeaders {
		result.ColumnDefinitions = t.definitions()
	}
	return result, nil
}

func (t table[T, P]) definitions() []metav1.TableColumnDefinition {
	definitions := []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
	}
	for _, column := range t.columns {
		definitions = append(definitions, metav1.TableColumnDefinition{
			Name: column.Name, Type: "string", Description: column.Description, Priority: column.Priority,
		})
	}
	return definitions
}

func (t table[T, P]) addRow(result *metav1.Table, object runtime.Object) error {
	typed, ok := object.(P)
	if !ok {
		return fmt.Errorf("rendering a table: %T is of another kind", object)
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	row := metav1.TableRow{Cells: []interface{}{accessor.GetName()}, Object: runtime.RawExtension{Object: object}}
	for _, column := range t.columns {
		text := column.Cell((*T)(typed))
		if text == "" {
			text = None
		}
		row.Cells = append(row.Cells, text)
	}
	result.Rows = append(result.Rows, row)
	return nil
}

// Age is the column with the time since an object was created.
func Age[T any, P interface {
	objectPointer[T]
	metav1.Object
}](now func() time.Time) Column[T] {
	return Column[T]{Name: "Age", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"], Cell: func(object *T) string {
		created := P(object).GetCreationTimestamp()
		if created.IsZero() {
			return "<unknown>"
		}
		return duration.HumanDuration(now().Sub(created.Time))
	}}
}
